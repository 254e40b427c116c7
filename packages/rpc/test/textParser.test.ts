import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { assertProperty, cases } from "../../core/test/support/proof.js"
import { makeParser } from "../src/internal/textParser.js"

const encoder = new TextEncoder()

/** A parser that records what it is given. */
const recording = (serialization: RpcSerialization.RpcSerialization["Type"]) => {
  const given: Array<string | Uint8Array> = []
  const parser = makeParser({
    ...serialization,
    unsafeMake: () => {
      const { decode, encode } = serialization.unsafeMake()
      return {
        encode,
        decode: (piece) => {
          given.push(piece)
          return decode(piece)
        }
      }
    }
  })
  return { parser, given }
}

const pong = (text: string) => ({ _tag: "Pong", text })

describe("a parser of text", () => {
  for (const name of ["ndjson", "ndJsonRpc"] as const) {
    it(`decodes the same messages, however their bytes are cut: ${name}`, () => {
      const serialization = name === "ndjson" ? RpcSerialization.ndjson : RpcSerialization.ndJsonRpc()
      const exit = (value: string) => ({ _tag: "Exit", requestId: "1", exit: { _tag: "Success", value } }) as const
      return assertProperty(
        FastCheck.property(
          FastCheck.array(FastCheck.string({ unit: "grapheme" }), { maxLength: 5 }),
          FastCheck.array(FastCheck.nat({ max: 7 }), { minLength: 1 }),
          (texts, sizes) => {
            const parser = makeParser(serialization)
            const bytes = encoder.encode(texts.map((text) => parser.encode(exit(text))).join(""))
            const messages: Array<unknown> = []
            for (let at = 0, index = 0; at < bytes.length; index++) {
              const end = at + 1 + sizes[index % sizes.length]!
              messages.push(...parser.decode(bytes.subarray(at, end)))
              at = end
            }
            assert.deepStrictEqual(messages, texts.map(exit))
          }
        ),
        cases(200, 5_000)
      )
    })
  }

  it("gives an incomplete line to the parser only when its length has doubled", () => {
    const { given, parser } = recording(RpcSerialization.ndjson)
    const line = JSON.stringify(pong("x".repeat(1_000)))
    for (const letter of line) assert.deepStrictEqual(parser.decode(letter), [])
    const lengths = given.map(({ length }) => length)
    assert.deepStrictEqual(lengths, [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
    assert.deepStrictEqual(parser.decode("\n[1]\n[2"), [pong("x".repeat(1_000)), [1]])
    assert.deepStrictEqual(parser.decode("]\n"), [[2]])
  })

  it("takes text and bytes in turn, but no character that begins in bytes and ends in text", () => {
    const parser = makeParser(RpcSerialization.ndjson)
    assert.deepStrictEqual([...parser.decode(encoder.encode(`["é`)), ...parser.decode(`é"]\n`)], [["éé"]])
    assert.deepStrictEqual(parser.decode(encoder.encode(`["é`).slice(0, -1)), [])
    assert.throws(() => parser.decode(`"]\n`), TypeError)
  })

  it("rejects bytes that are not UTF-8, also without framing", () => {
    for (const serialization of [RpcSerialization.ndjson, RpcSerialization.json, RpcSerialization.jsonRpc()]) {
      const parser = makeParser(serialization)
      assert.throws(() => parser.decode(Uint8Array.of(0x22, 0xc3, 0x22, 0x0a)), TypeError)
    }
  })

  it("decodes a whole message of a serialization without framing at once", () => {
    const parser = makeParser(RpcSerialization.json)
    assert.deepStrictEqual(parser.decode(encoder.encode(`"é"`)), ["é"])
    assert.deepStrictEqual(parser.decode(`"é"`), ["é"])
  })

  it("gives each piece at once to a parser with other framing, or with newlines but no framing", () => {
    for (const [includesFraming, ending] of [[true, "\0"], [false, "\n"]] as const) {
      const { decode, encode } = RpcSerialization.json.unsafeMake()
      const { given, parser } = recording({
        contentType: "text/plain",
        includesFraming,
        unsafeMake: () => ({
          encode: (message) => `${encode(message) as string}${ending}`,
          decode: (piece) => decode((piece as string).replace(ending, ""))
        })
      })
      const pieces = [`"first"${ending}`, `"2nd"`, `"3"`]
      assert.deepStrictEqual(pieces.map((piece) => parser.decode(piece)), [["first"], ["2nd"], ["3"]])
      assert.deepStrictEqual(given, pieces)
    }
  })

  it("leaves binary serializations alone", () => {
    const { given, parser } = recording(RpcSerialization.msgPack)
    const encoded = parser.encode(pong("é") as never) as Uint8Array
    assert.deepStrictEqual(parser.decode(encoded), [pong("é")])
    assert.strictEqual(given[0], encoded)
  })
})
