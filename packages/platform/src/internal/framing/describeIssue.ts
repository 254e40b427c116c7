import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import * as SchemaAST from "effect/SchemaAST"

/**
 * Describes the first mismatch between a value and its schema: the path, and what the schema expected there. Shows no
 * part of the value, and no key that the schema does not name, because they may be secret.
 *
 * @internal
 */
export const describeIssue = (issue: ParseResult.ParseIssue): string => describe(issue, "", undefined)

const describe = (issue: ParseResult.ParseIssue, path: string, owner: SchemaAST.AST | undefined): string => {
  switch (issue._tag) {
    case "Pointer":
      return describe(issue.issue, [issue.path].flat().reduce<string>(inside(owner), path), undefined)
    case "Composite":
      return describe([issue.issues].flat()[0] as ParseResult.ParseIssue, path, issue.ast)
    case "Refinement":
    case "Transformation":
      return describe(issue.issue, path, undefined)
    case "Missing":
      return at(path, "is missing")
    case "Unexpected":
      return at(path, "is unexpected")
    case "Forbidden":
      return at(path, "is forbidden")
    case "Type":
      return at(path, `expected ${expected(issue.ast)}`)
  }
}

const at = (path: string, what: string): string => path === "" ? what : `${path}: ${what}`

const inside = (owner: SchemaAST.AST | undefined) => (path: string, key: PropertyKey): string => {
  if (typeof key === "number") return `${path}[${key}]`
  return isNamed(owner, key) ? `${path}.${String(key)}` : `${path}[…]`
}

const isNamed = (owner: SchemaAST.AST | undefined, key: PropertyKey): boolean =>
  owner !== undefined && SchemaAST.isTypeLiteral(owner) && owner.propertySignatures.some(({ name }) => name === key)

const expected = (ast: SchemaAST.AST): string => {
  const isJson = Option.exists(SchemaAST.getTitleAnnotation(ast), (title) => title === "parseJson")
  const text = isJson ? "JSON" : String(ast)
  return text.length > longest ? `${text.slice(0, longest)}…` : text
}

const longest = 100
