// Makes the pages of the API reference from the docstrings of the published packages. It reads the sources only, with
// the parser of TypeScript, so it needs no build.
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"
import ts from "typescript"
import { published, root } from "../../scripts/workspace.mjs"

/** Removes docstrings and marks for bundlers, and the empty lines that they leave. */
const withoutComments = (code) =>
  code.replace(/[ \t]*\/\*\*[\s\S]*?\*\/[ \t]*\n?/g, "").replace(/\/\* @__PURE__ \*\/ /g, "").replace(/\n\s*\n/g, "\n")

/** The description, the examples and the category of a docstring. */
const parseDoc = (comment) => {
  const lines = comment.replace(/^\/\*\*/, "").replace(/\*\/$/, "").split("\n")
    .map((line) => line.replace(/^\s*\* ?/, ""))
  const parts = [{ tag: "description", lines: [] }]
  let inFence = false
  for (const line of lines) {
    if (/^\s*```/.test(line)) inFence = !inFence
    const tag = inFence ? null : /^@(\w+)\s*(.*)$/.exec(line)
    if (tag) parts.push({ tag: tag[1], lines: tag[2] === "" ? [] : [tag[2]] })
    else parts.at(-1).lines.push(line)
  }
  const texts = (tag) => parts.filter((part) => part.tag === tag).map((part) => part.lines.join("\n").trim())
  return {
    description: texts("description")[0],
    examples: texts("example"),
    category: texts("category")[0],
    isInternal: parts.some((part) => part.tag === "internal")
  }
}

const docOf = (node, source) => {
  const ranges = ts.getLeadingCommentRanges(source.text, node.getFullStart()) ?? []
  const comment = ranges.map(({ end, pos }) => source.text.slice(pos, end)).findLast((text) => text.startsWith("/**"))
  return comment === undefined ? undefined : parseDoc(comment)
}

/** The first docstring of a file describes the module. */
const moduleDoc = (source) => {
  const [range] = ts.getLeadingCommentRanges(source.text, 0) ?? []
  return parseDoc(source.text.slice(range.pos, range.end))
}

const textOf = (node, source) => withoutComments(source.text.slice(node.getStart(source), node.end))

const parameters = (node, source) =>
  source.text.slice(
    node.typeParameters === undefined ? node.parameters.pos - 1 : node.typeParameters.pos - 1,
    source.text.indexOf(")", node.parameters.end) + 1
  )

/** The declaration of a constant: its type, or the types of its function. */
const constant = (declaration, source) => {
  const name = declaration.name.getText(source)
  const { initializer, type } = declaration
  if (type !== undefined) return withoutComments(`const ${name}: ${type.getText(source)}`)
  if (initializer !== undefined && ts.isArrowFunction(initializer) && initializer.type !== undefined) {
    return withoutComments(`const ${name}: ${parameters(initializer, source)} => ${initializer.type.getText(source)}`)
  }
  if (ts.isObjectBindingPattern(declaration.name)) return `const ${name}`
  throw new Error(`${source.fileName}: the type of ${name} is not written`)
}

const isPublic = (member) => member.name === undefined || !ts.isPrivateIdentifier(member.name)

/** A class: its header, and its public members without their bodies. */
const classDeclaration = (node, source) => {
  const header = withoutComments(source.text.slice(node.getStart(source), node.members.pos))
    .replace(/^export /, "").trimEnd()
  const members = node.members.filter(isPublic).map((member) =>
    ts.isGetAccessor(member)
      ? `  readonly ${member.name.getText(source)}: ${member.type.getText(source)}`
      : ts.isConstructorDeclaration(member)
      ? `  constructor${parameters(member, source)}`
      : `  ${textOf(member, source)}`
  )
  return members.length === 0 ? `${header}}` : `${header}\n${members.join("\n")}\n}`
}

/** The documented members of an interface, of a class, or of the fields that a class gets from its base class. */
const membersOf = (node, source) => {
  const fields = ts.isClassDeclaration(node)
    ? (node.heritageClauses ?? []).flatMap((clause) => clause.types)
      .flatMap((type) => type.typeArguments ?? []).filter(ts.isTypeLiteralNode).flatMap((type) => type.members)
    : []
  return [...fields, ...(node.members ?? [])].filter((member) => member.name !== undefined && isPublic(member))
    .flatMap((member) => {
      const doc = docOf(member, source)
      const name = member.name.getText(source)
      return doc === undefined || doc.description === "" ? [] : [{ name, description: doc.description }]
    })
}

const exportsOf = (source, complain) =>
  source.statements.flatMap((statement) => {
    if (!statement.modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.ExportKeyword)) return []
    const doc = docOf(statement, source)
    const declaration = ts.isVariableStatement(statement) ? statement.declarationList.declarations[0] : statement
    const names = declaration.name !== undefined && ts.isObjectBindingPattern(declaration.name)
      ? declaration.name.elements.map((element) => element.name.getText(source))
      : [declaration.name.getText(source)]
    if (doc?.isInternal) return []
    if (doc?.category === undefined) {
      complain(`${source.fileName}: ${names[0]} has no category`)
      return []
    }
    const signature = ts.isVariableStatement(statement)
      ? constant(declaration, source)
      : ts.isClassDeclaration(statement)
      ? classDeclaration(statement, source)
      : textOf(statement, source).replace(/^export /, "")
    return [{ names, title: names.join(", "), ...doc, signature, members: membersOf(statement, source) }]
  })

/** All public modules. `complain` is called for an export that the reference cannot show. */
export const modules = (complain) =>
  published.flatMap((folder) =>
    ["src", "src/testing"].filter((path) => existsSync(join(root, folder, path))).flatMap((path) =>
      readdirSync(join(root, folder, path)).filter((name) => name.endsWith(".ts") && name !== "index.ts").sort()
        .map((file) => {
          const text = readFileSync(join(root, folder, path, file), "utf8")
          const source = ts.createSourceFile(`${folder}/${path}/${file}`, text, ts.ScriptTarget.Latest, true)
          const name = basename(file, ".ts")
          const packageName = basename(folder)
          const entry = path === "src" ? name : `testing/${name}`
          return {
            name,
            package: packageName,
            import: `@persistent-connection/${packageName}/${entry}`,
            source: source.fileName,
            page: `reference/${packageName}/${name}`,
            ...moduleDoc(source),
            exports: exportsOf(source, complain)
          }
        })
    )
  )

/** The id of the heading of an export, or of one of its members. */
export const idOf = (name, member) => (member === undefined ? name : `${name}-${member}`).replace(/[^\w-]/g, "")

const capital = (text) => text[0].toUpperCase() + text.slice(1)

const body = ({ description, examples, members, names, signature }) => [
  ...(description === "" ? [] : [description]),
  `\`\`\`ts\n${signature}\n\`\`\``,
  ...members.flatMap((member) => [`#### ${member.name} {#${idOf(names[0], member.name)}}`, member.description]),
  ...examples.flatMap((example) => ["**Example**", example])
]

/** Joins the type and the value of one name, if neither has a description: type ids. */
const joined = (items) =>
  items.reduce((done, item) => {
    const last = done.at(-1)
    return last?.title === item.title && last.description === "" && item.description === ""
      ? [...done.slice(0, -1), { ...last, signature: `${last.signature}\n${item.signature}` }]
      : [...done, item]
  }, [])

/** The page of a module. */
export const pageOf = (module) => {
  const used = new Set()
  // A type and a value may have the same name: the first one gets the name as its id.
  const headings = ({ names, title }) => {
    const [id, ...others] = names.map((name) => idOf(used.has(name) ? `${name}-value` : name))
    for (const name of names) used.add(name)
    const anchors = others.map((other) => `<a id="${other}"></a>`).join("")
    return [`### ${title} {#${id}}`, ...anchors === "" ? [] : [anchors]]
  }
  const categories = [...new Set(module.exports.map(({ category }) => category))]
    // Symbols tell a reader nothing.
    .sort((a, b) => Number(a === "symbols") - Number(b === "symbols"))
  return [
    `# ${module.name}`,
    `\`\`\`ts\nimport * as ${module.name} from "${module.import}"\n\`\`\``,
    module.description,
    ...module.examples.flatMap((example) => ["**Example**", example]),
    ...categories.flatMap((category) => [
      `## ${capital(category)} {#category-${category}}`,
      ...joined(module.exports.filter((item) => item.category === category))
        .flatMap((item) => [...headings(item), ...body(item)])
    ])
  ].join("\n\n") + "\n"
}
