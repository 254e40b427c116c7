// Adds links to the pages: from names in code to the API reference, from rule numbers to the rules, and from files of
// the repository to their place on the web.
import { posix } from "node:path"
import { idOf } from "./reference.mjs"

const repository = "https://github.com/persistent-connection/persistent-connection"

/** Calls `change` with every part of a line of prose that is neither code nor a link. */
const inProse = (line, change) =>
  line.split(/(`[^`]*`|!?\[[^\]]*\]\([^)]*\))/).map((part, index) => index % 2 === 0 ? change(part) : part).join("")

/** Calls `change` with every line outside of fences and headings. */
const outsideCode = (text, change) => {
  let fence
  return text.split("\n").map((line) => {
    const mark = /^\s*(`{3,})/.exec(line)?.[1]
    if (mark !== undefined && fence === undefined) fence = mark
    else if (mark !== undefined && mark.length >= fence.length) fence = undefined
    else if (fence === undefined && !/^(#|\t| {4})/.test(line)) return change(line)
    return line
  }).join("\n")
}

/** Where a name is documented: `Module`, `Module.name`, `Module.Type.member`, or a name of the module itself. */
const index = (modules) => {
  const targets = new Map()
  for (const module of modules) {
    targets.set(module.name, `/${module.page}`)
    for (const { members, names } of module.exports) {
      for (const name of names) targets.set(`${module.name}.${name}`, `/${module.page}#${idOf(name)}`)
      for (const member of members) {
        targets.set(
          `${module.name}.${names[0]}.${member.name}`,
          `/${module.page}#${idOf(names[0], member.name)}`
        )
      }
    }
  }
  return (name, module) =>
    (module === undefined ? undefined : targets.get(`${module.name}.${name}`)) ?? targets.get(name)
}

/** Makes the function that adds the links to a page. `rules` are the numbers of all rules. */
export const linker = (modules, rules) => {
  const find = index(modules)
  const ruleNumber = /\b([CTEAXDS]\d{1,2})\b/g

  /** `file` is the file of the page in the repository; `module` is its module if it is a page of the reference. */
  return (text, { file, module, page }) => {
    const linked = new Set()
    return outsideCode(text, (line) => {
      const withFiles = line
        // Files of the repository that are not pages
        .replace(/\]\((?!https?:|#|\/)([^)#\s]+)(#[^)]*)?\)/g, (whole, path, anchor = "") => {
          const target = posix.normalize(posix.join(posix.dirname(file), path))
          return target.startsWith("docs/") && target !== "docs/images"
            ? whole
            : `](${repository}/blob/main/${target}${anchor})`
        })
        .replace(/`docs\/(\w+)\.md`/g, (whole, name) => `[${whole}](/${name})`)
      const withNames = withFiles.replace(
        /(\[[^\]]*\]\([^)]*\))|`([A-Z]\w*(?:\.\w+)*|\w+(?:\.\w+)?)`/g,
        (whole, link, name) => {
          if (link !== undefined) return whole
          const target = find(name, module)
          if (target === undefined || target === `/${page}` || linked.has(name)) return whole
          // A lower-case name without a module belongs to the page of that module.
          if (module === undefined && !/^[A-Z]/.test(name)) return whole
          linked.add(name)
          return `[\`${name}\`](${target})`
        }
      )
      return page === "rules"
        ? withNames.replace(/^- \*\*([CTEAXDS]\d{1,2})\*\* /, (whole, rule) => `- <a id="${rule}"></a>**${rule}** `)
        : inProse(
          withNames,
          (part) => part.replace(ruleNumber, (rule) => rules.has(rule) ? `[${rule}](/rules#${rule})` : rule)
        )
    })
  }
}
