import { execFileSync, spawnSync } from "node:child_process"
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const root = fileURLToPath(new URL("../../..", import.meta.url))
const tsc = join(root, "node_modules/typescript/bin/tsc")

const manifest = (folder: string) => JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"))
const published: ReadonlyArray<string> = manifest(".").workspaces
  .filter((folder: string) => !manifest(folder).private)
  .map((folder: string) => basename(folder))

const installedVersion = (name: string): string => manifest(join("node_modules", name)).version

describe("the packed packages", () => {
  let project: string

  const run = (command: string, ...args: ReadonlyArray<string>): string =>
    execFileSync(command, args, { cwd: project, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })

  /** The exit status and the output of a command. */
  const attempt = (command: string, ...args: ReadonlyArray<string>) => {
    const { status, stderr, stdout } = spawnSync(command, args, { cwd: project, encoding: "utf8" })
    return { status, output: stdout + stderr }
  }

  const packageFolder = (name: string): string => join(project, "node_modules/@persistent-connection", name)

  const modulesOf = (name: string): ReadonlyArray<string> =>
    readdirSync(join(packageFolder(name), "dist"))
      .filter((file) => file.endsWith(".js"))
      .map((file) => file.slice(0, -".js".length))
      .map((module) => `@persistent-connection/${name}${module === "index" ? "" : `/${module}`}`)

  beforeAll(() => {
    project = mkdtempSync(join(tmpdir(), "persistent-connection-packed-"))
    execFileSync(process.execPath, [tsc, "-b", ...published.map((name) => `packages/${name}`)], {
      cwd: root,
      stdio: "inherit"
    })
    for (const name of published) run("npm", "pack", join(root, "packages", name), "--silent")
    const tarballs = readdirSync(project).filter((file) => file.endsWith(".tgz"))
    writeFileSync(
      join(project, "package.json"),
      JSON.stringify({
        private: true,
        type: "module",
        dependencies: {
          ...Object.fromEntries(published.map((name) => [
            `@persistent-connection/${name}`,
            `file:${tarballs.find((file) => file.startsWith(`persistent-connection-${name}-`))}`
          ])),
          "@effect/platform": installedVersion("@effect/platform"),
          "@effect/rpc": installedVersion("@effect/rpc"),
          "@types/node": installedVersion("@types/node"),
          effect: installedVersion("effect")
        }
      })
    )
    run("npm", "install", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")

    const modules = published.flatMap(modulesOf)
    writeFileSync(
      join(project, "modules.ts"),
      [
        ...modules.map((name, index) => `import * as module${index} from "${name}"`),
        `const modules = { ${modules.map((name, index) => `"${name}": module${index}`).join(", ")} }`,
        "console.log(JSON.stringify(Object.keys(modules)))"
      ].join("\n")
    )
    for (const name of ["program.ts", "program.cts"]) {
      copyFileSync(fileURLToPath(new URL("packed/program.ts", import.meta.url)), join(project, name))
    }
    const compile = (file: string, types: ReadonlyArray<string>, files: ReadonlyArray<string>) =>
      writeFileSync(
        join(project, file),
        JSON.stringify({
          compilerOptions: {
            target: "ES2022",
            lib: ["ES2022", "DOM"],
            types,
            module: "NodeNext",
            strict: true,
            exactOptionalPropertyTypes: true,
            skipLibCheck: false,
            outDir: "out",
            rootDir: "."
          },
          files
        })
      )
    compile("tsconfig.json", [], ["program.ts", "program.cts"])
    compile("tsconfig.modules.json", ["node"], ["modules.ts"])
  })

  afterAll(() => rmSync(project, { recursive: true, force: true }))

  it("install no second copy of effect", () => {
    for (const name of published) expect(existsSync(join(packageFolder(name), "node_modules"))).toBe(false)
  })

  it("compile and run a program without the types of Node", () => {
    expect(attempt(process.execPath, tsc, "-p", ".")).toEqual({ status: 0, output: "" })
    expect(run(process.execPath, "out/program.js")).toBe("Connected\n")
  })

  it("can be imported module by module, and type-check", () => {
    expect(attempt(process.execPath, tsc, "-p", "tsconfig.modules.json")).toEqual({ status: 0, output: "" })
    expect(JSON.parse(run(process.execPath, "out/modules.js"))).toEqual(published.flatMap(modulesOf))
  })

  it("can be required, and work with the CommonJS form of effect", (context) => {
    if (!("require_module" in process.features)) return context.skip("this Node cannot require ES modules")
    const requireAll = `for (const name of ${JSON.stringify(published.flatMap(modulesOf))}) require(name)`
    expect(attempt(process.execPath, "--no-warnings", "--input-type=commonjs", "-e", requireAll))
      .toEqual({ status: 0, output: "" })
    expect(attempt(process.execPath, "--no-warnings", "out/program.cjs")).toEqual({ status: 0, output: "Connected\n" })
  })

  it("have declarations and sources for every module", () => {
    for (const name of published) {
      const resolve = createRequire(join(packageFolder(name), "package.json")).resolve
      for (const module of readdirSync(join(packageFolder(name), "dist")).filter((file) => file.endsWith(".js"))) {
        const base = module.slice(0, -".js".length)
        expect(resolve(`./dist/${base}.d.ts`)).toBeTruthy()
        expect(resolve(`./src/${base}.ts`)).toBeTruthy()
      }
    }
  })

  it("do not export internal modules", () => {
    const internal = readdirSync(join(packageFolder("core"), "dist/internal"), { encoding: "utf8", recursive: true })
      .find((file) => file.endsWith(".js"))!
    const specifier = `@persistent-connection/core/internal/${internal.slice(0, -".js".length)}`
    const { output, status } = attempt(process.execPath, "--input-type=module", "-e", `import "${specifier}"`)
    expect(status).not.toBe(0)
    expect(output).toContain("ERR_PACKAGE_PATH_NOT_EXPORTED")
  })
})
