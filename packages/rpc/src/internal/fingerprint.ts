import type * as Rpc from "@effect/rpc/Rpc"
import * as RpcSchema from "@effect/rpc/RpcSchema"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"

/**
 * A short text that differs if the encoded sides of the schemas of two procedures differ. It does not depend on the
 * order of fields and of members of unions, or on the version of Effect.
 *
 * @internal
 */
export const fingerprint = (procedure: Rpc.Any): string => {
  const { errorSchema, middlewares, payloadSchema, successSchema } = procedure as unknown as Rpc.AnyWithProps
  const failures: Array<Schema.Schema.All> = [errorSchema, ...Array.from(middlewares, ({ failure }) => failure)]
  const result = Option.match(RpcSchema.getStreamSchemas(successSchema.ast), {
    onNone: () => describe(successSchema.ast),
    onSome: ({ failure, success }) => {
      failures.push(failure)
      return `stream of ${describe(success.ast)}`
    }
  })
  const errors = failures.map(({ ast }) => describe(ast)).filter((text) => text !== "NeverKeyword")
  return hash(`${describe(payloadSchema.ast)} => ${result} ! ${distinct(errors)}`)
}

/** Describes the encoded side of a schema. `outer`: the enclosing schemas that may be recursive. */
const describe = (ast: SchemaAST.AST, outer: ReadonlyArray<SchemaAST.AST> = []): string => {
  const inside = (ast: SchemaAST.AST) => describe(ast, outer)
  switch (ast._tag) {
    case "Refinement":
    case "Transformation":
      return inside(ast.from)
    case "Literal":
      return typeof ast.literal === "bigint" ? `${ast.literal}n` : JSON.stringify(ast.literal)
    case "Enums":
      return distinct(ast.enums.map(([, value]) => JSON.stringify(value)))
    case "Union":
      return `(${distinct(ast.types.map(inside))})`
    case "TupleType": {
      const elements = ast.elements.map(({ isOptional, type }) => inside(type) + (isOptional ? "?" : ""))
      return `[${[...elements, ...ast.rest.map(({ type }) => `...${inside(type)}`)].join()}]`
    }
    case "TypeLiteral": {
      const fields = ast.propertySignatures.map(({ isOptional, name, type }) =>
        `${JSON.stringify(String(name))}${isOptional ? "?" : ""}:${inside(type)}`
      )
      const others = ast.indexSignatures.map(({ parameter, type }) => `[${inside(parameter)}]:${inside(type)}`)
      return `{${[...fields.sort(), ...others.sort()].join()}}`
    }
    case "Suspend": {
      const suspended = ast.f()
      const depth = outer.indexOf(suspended)
      return depth === -1 ? describe(suspended, [...outer, suspended]) : `#${depth}`
    }
    case "Declaration": {
      const name = Option.getOrElse(SchemaAST.getIdentifierAnnotation(ast), () => "Declaration")
      return `${name}<${ast.typeParameters.map(inside).join()}>`
    }
    case "TemplateLiteral":
      return `\`${ast.head}${ast.spans.map(({ literal, type }) => `\${${inside(type)}}${literal}`).join("")}\``
    case "UniqueSymbol":
      return String(ast.symbol)
    default:
      return ast._tag
  }
}

const distinct = (texts: ReadonlyArray<string>): string => [...new Set(texts)].sort().join("|")

/** FNV-1a with 32 bits, from both ends. */
const hash = (text: string): string => half(text) + half([...text].reverse().join(""))

const half = (text: string): string => {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, "0")
}
