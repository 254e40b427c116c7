import { assert, describe, it } from "@effect/vitest"
import * as framer from "../../src/internal/framing/framer.js"

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Takes the pieces one after the other, until the first error. */
const run = <Piece, Frame>({ pending, take }: framer.Framer<Piece, Frame>, pieces: ReadonlyArray<Piece>) => {
  const frames: Array<Frame> = []
  for (const piece of pieces) {
    const wrong = take(piece, (frame) => frames.push(frame))
    if (wrong !== undefined) return { frames, wrong: wrong._tag }
  }
  return { frames, pending: pending() }
}

/** Takes bytes at once, and one by one. */
const both = <Frame>(make: () => framer.Framer<Uint8Array, Frame>, bytes: Uint8Array) => {
  const atOnce = run(make(), [bytes])
  const oneByOne = run(make(), Array.from(bytes, (byte) => new Uint8Array([byte])))
  assert.deepStrictEqual(oneByOne, atOnce)
  return atOnce
}

const tooLong = "FrameTooLong"

describe("lines", () => {
  const lines = (text: string, maxFrameSize = 5) => both(() => framer.lines(maxFrameSize), encode(text))

  it("end with LF or CRLF; what follows the last one is pending", () => {
    assert.deepStrictEqual(lines("a\nb\r\n\n\r\nc"), { frames: ["a", "b", "", ""], pending: 1 })
    assert.deepStrictEqual(lines("a\r"), { frames: [], pending: 2 })
    assert.deepStrictEqual(lines("a\rb\n"), { frames: ["a\rb"], pending: 0 })
    assert.deepStrictEqual(lines("a\n\r"), { frames: ["a"], pending: 1 })
  })

  it("may have the maximum length, without the line break", () => {
    assert.deepStrictEqual(lines("12345\r\n12345\nabcde\r"), { frames: ["12345", "12345"], pending: 6 })
    assert.deepStrictEqual(lines("12345\r\r\n"), { frames: [], wrong: tooLong })
    assert.deepStrictEqual(lines("1\n123456\n2\n"), { frames: ["1"], wrong: tooLong })
    assert.deepStrictEqual(lines("1\n123456"), { frames: ["1"], wrong: tooLong })
    // Many short lines in one piece.
    assert.deepStrictEqual(lines("1\n\r\n2\r\n3\n\n"), { frames: ["1", "", "2", "3", ""], pending: 0 })
  })

  it("are measured in bytes", () => {
    assert.deepStrictEqual(lines("żó\n"), { frames: ["żó"], pending: 0 })
    assert.deepStrictEqual(lines("żół\n"), { frames: [], wrong: tooLong })
  })

  it("before and not after one of invalid UTF-8 are given", () => {
    const bytes = Uint8Array.from([...encode("a\nb"), 0xff, ...encode("\nc\n")])
    for (const maxFrameSize of [5, 100]) {
      assert.deepStrictEqual(both(() => framer.lines(maxFrameSize), bytes), { frames: ["a"], wrong: "InvalidText" })
    }
  })

  it("keep a byte order mark", () => {
    assert.deepStrictEqual(lines("\uFEFFa\n").frames, ["\uFEFFa"])
  })

  it("of a message protocol may be empty, and are not given then", () => {
    assert.deepStrictEqual(run(framer.withoutEmpty(framer.lines(5)), [encode("a\n\n\r\nb\nc")]), {
      frames: ["a", "b"],
      pending: 1
    })
  })

  it("do not depend on later changes of the piece", () => {
    const piece = encode("ab")
    const { pending, take } = framer.lines(5)
    take(piece, () => assert.fail("no line"))
    piece.fill(120)
    assert.strictEqual(pending(), 2)
    const frames: Array<string> = []
    take(encode("c\n"), (frame) => frames.push(frame))
    assert.deepStrictEqual(frames, ["abc"])
  })
})

describe("frames with a length prefix", () => {
  const frame = (length: number) => Uint8Array.from({ length }, (_, index) => index % 251)
  const prefixes = ([1, 2, 4] as const).flatMap((lengthBytes) =>
    (["big", "little"] as const).map((endianness) => ({ lengthBytes, endianness }))
  )

  it.each(prefixes)("are written and read with %o", (prefix) => {
    const frames = [0, 1, 255, ...(prefix.lengthBytes === 1 ? [] : [256, 770])].map(frame)
    const bytes = Buffer.concat(frames.map((frame) => framer.withLength(frame, prefix)!))
    const result = both(() => framer.lengthPrefixed(prefix, 1000), new Uint8Array(bytes))
    assert.deepStrictEqual(result, { frames, pending: 0 })
  })

  it("have the length first, in the named order", () => {
    assert.deepStrictEqual(
      framer.withLength(frame(2), { lengthBytes: 1, endianness: "big" }),
      new Uint8Array([2, 0, 1])
    )
    const prefix = (endianness: "big" | "little") => framer.withLength(frame(515), { lengthBytes: 4, endianness })
    assert.deepStrictEqual([...prefix("big")!.subarray(0, 4)], [0, 0, 2, 3])
    assert.deepStrictEqual([...prefix("little")!.subarray(0, 4)], [3, 2, 0, 0])
  })

  it("may be as long as the prefix can say", () => {
    assert.strictEqual(framer.withLength(frame(255), { lengthBytes: 1, endianness: "big" })?.length, 256)
    assert.isUndefined(framer.withLength(frame(256), { lengthBytes: 1, endianness: "big" }))
    assert.isUndefined(framer.withLength(frame(65_536), { lengthBytes: 2, endianness: "big" }))
  })

  it("may have the maximum length; one that is too long fails at its prefix, after the others", () => {
    const lengthPrefixed = () => framer.lengthPrefixed({ lengthBytes: 1, endianness: "big" }, 3)
    assert.deepStrictEqual(both(lengthPrefixed, new Uint8Array([3, 7, 8, 9, 2, 1])), {
      frames: [new Uint8Array([7, 8, 9])],
      pending: 2
    })
    assert.deepStrictEqual(both(lengthPrefixed, new Uint8Array([1, 7, 4])), {
      frames: [new Uint8Array([7])],
      wrong: tooLong
    })
  })

  it("are copies of the received bytes", () => {
    const piece = new Uint8Array([1, 7])
    const { frames } = run(framer.lengthPrefixed({ lengthBytes: 1, endianness: "big" }, 3), [piece])
    piece.fill(0)
    assert.deepStrictEqual(frames, [new Uint8Array([7])])
    assert.strictEqual(frames[0]!.buffer.byteLength, 1)
  })
})

describe("messages as frames", () => {
  it("may have the maximum length", () => {
    assert.deepStrictEqual(run(framer.messages(3), ["abc", new Uint8Array(3), "abcd", "a"]), {
      frames: ["abc", new Uint8Array(3)],
      wrong: tooLong
    })
    assert.deepStrictEqual(run(framer.messages(3), ["a"]), { frames: ["a"], pending: 0 })
  })
})

describe("a text", () => {
  it("is well-formed if it is a string without half of a surrogate pair", () => {
    for (const text of ["", "a", "😀"]) assert.isTrue(framer.isWellFormed(text))
    for (const text of ["\uD800", "a\uDC00b", 5, undefined, ["a"]]) assert.isFalse(framer.isWellFormed(text))
  })
})
