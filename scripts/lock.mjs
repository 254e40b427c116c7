// Adds optional platform packages to package-lock.json that a registry mirror did not serve. npm omits packages that it
// cannot look up, and `npm ci` then rejects the lock file as out of date on every platform.
import { readFileSync, writeFileSync } from "node:fs"

const file = new URL("../package-lock.json", import.meta.url)
const lock = JSON.parse(readFileSync(file, "utf8"))

const platform = (name) => {
  const words = name.split(/[/-]/)
  const pick = (known) => known.filter((word) => words.includes(word))
  const os = pick(["android", "darwin", "freebsd", "linux", "openbsd", "openharmony", "win32"])
  const cpu = pick(["arm", "arm64", "ia32", "loong64", "ppc64", "riscv64", "s390x", "x64"])
  const libc = os[0] !== "linux"
    ? []
    : /musl/.test(name)
    ? ["musl"]
    : /gnu|glibc/.test(name)
    ? ["glibc"]
    : []
  return os.length === 1 && cpu.length === 1 ? { os, cpu, ...(libc.length > 0 && { libc }) } : undefined
}

const byPath = ([a], [b]) => a.localeCompare(b, "en")
const added = []
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`
    const where = platform(name)
    if (key in lock.packages || `${path}/${key}` in lock.packages || where === undefined) continue
    if (!/^\d+\.\d+\.\d+$/.test(version)) throw new Error(`${path} does not pin ${name}: ${version}`)
    lock.packages[key] = {
      version,
      cpu: where.cpu,
      ...(entry.dev && { dev: true }),
      ...(where.libc && { libc: where.libc }),
      optional: true,
      os: where.os
    }
    added.push(`${name}@${version}`)
  }
}

if (added.length > 0) {
  const { "": root, ...others } = lock.packages
  lock.packages = { "": root, ...Object.fromEntries(Object.entries(others).sort(byPath)) }
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
}
console.log(`${added.length} platform packages added to package-lock.json`)
