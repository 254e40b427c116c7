import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import { describeIssue } from "../../src/internal/framing/describeIssue.js"

const describeOf = <A, I>(schema: Schema.Schema<A, I>, value: unknown, options?: { onExcessProperty: "error" }) =>
  Either.match(ParseResult.decodeUnknownEither(schema, options)(value), {
    onLeft: describeIssue,
    onRight: () => "no issue"
  })

const Order = Schema.Struct({
  id: Schema.Number,
  items: Schema.optional(Schema.Array(Schema.Struct({ price: Schema.Number }))),
  byName: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.Number })),
  pair: Schema.optional(Schema.Tuple(Schema.String, Schema.Number))
})

describe("the description of a mismatch", () => {
  it.each<[unknown, string]>([
    [{}, ".id: is missing"],
    [{ id: "secret" }, ".id: expected number"],
    [{ id: 1, items: [{ price: 1 }, { price: "secret" }] }, ".items[1].price: expected number"],
    [{ id: 1, items: [{}] }, ".items[0].price: is missing"],
    [{ id: 1, byName: { secret: "secret" } }, ".byName[…]: expected number"],
    [{ id: 1, pair: ["a"] }, ".pair[1]: is missing"]
  ])("of %o has the path and what is expected", (value, expected) => {
    assert.strictEqual(describeOf(Order, value), expected)
  })

  it("names no key that the schema does not name", () => {
    assert.strictEqual(describeOf(Order, { id: 1, secret: 1 }, { onExcessProperty: "error" }), "[…]: is unexpected")
  })

  it("names no key of what is no struct", () => {
    const pair = Schema.Struct({ id: Schema.Number }).pipe(
      Schema.filter(() => ({ path: ["secret"], message: "secret" }))
    )
    assert.match(describeOf(pair, { id: 1 }), /^\[…\]: expected /)
    const missing = new ParseResult.Missing(new SchemaAST.Type(SchemaAST.unknownKeyword))
    const pointer = new ParseResult.Pointer("secret", {}, missing)
    assert.strictEqual(
      describeIssue(new ParseResult.Composite(SchemaAST.unknownKeyword, {}, pointer)),
      "[…]: is missing"
    )
    assert.strictEqual(describeIssue(pointer), "[…]: is missing")
  })

  it("has no path if the value itself does not match", () => {
    assert.strictEqual(describeOf(Schema.Number, "secret"), "expected number")
    assert.strictEqual(describeOf(Schema.Struct({ id: Schema.Number }), 5), "expected { readonly id: number }")
    assert.strictEqual(describeOf(Schema.parseJson(Order), "{secret"), "expected JSON")
    assert.strictEqual(describeOf(Schema.parseJson(Order), "{}"), ".id: is missing")
  })

  it("of a refinement or a transformation is that of its part", () => {
    assert.strictEqual(
      describeOf(Schema.Struct({ id: Schema.NonEmptyString }), { id: "" }),
      ".id: expected NonEmptyString"
    )
    assert.strictEqual(describeOf(Schema.Struct({ id: Schema.NonEmptyString }), { id: 1 }), ".id: expected string")
    assert.strictEqual(describeOf(Schema.Struct({ at: Schema.NumberFromString }), { at: 5 }), ".at: expected string")
  })

  it("says that something is forbidden", () => {
    const later = Schema.transformOrFail(Schema.String, Schema.String, {
      strict: true,
      decode: (text, _options, ast) => ParseResult.fail(new ParseResult.Forbidden(ast, text)),
      encode: ParseResult.succeed
    })
    assert.strictEqual(describeOf(Schema.Struct({ token: later }), { token: "secret" }), ".token: is forbidden")
  })

  it("is cut after 100 characters", () => {
    const literal = (length: number) => Schema.Literal("x".repeat(length - 2))
    assert.strictEqual(describeOf(literal(100), 5), `expected "${"x".repeat(98)}"`)
    assert.strictEqual(describeOf(literal(101), 5), `expected "${"x".repeat(99)}…`)
  })
})
