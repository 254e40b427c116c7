import { assert, describe, it } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as Framing from "@persistent-connection/platform/Framing"
import type { FramingError } from "@persistent-connection/platform/FramingError"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as fc from "effect/FastCheck"
import * as Stream from "effect/Stream"
import { connect } from "./support/clients.js"

const maxFrameSize = 6

/** A connection whose peer sends these pieces and ends. Sent data is recorded in `sent`. */
const transport = (pieces: ReadonlyArray<Uint8Array>, sent: Array<Uint8Array | string> = []) =>
  Connector.make({
    connect: (_: string) =>
      Effect.succeed<Framing.ByteConnection<never>>({
        data: Stream.fromIterable(pieces),
        send: (data) => Effect.sync(() => void sent.push(data)),
        received: () => 0
      }),
    closed: () => Effect.void
  })

/** Sends all values, one after the other, and returns those that were not rejected. */
const accepting = <A>(all: ReadonlyArray<A>, send: (each: A) => Effect.Effect<void, FramingError>) =>
  Effect.map(Effect.forEach(all, (each) => Effect.option(Effect.as(send(each), each))), Arr.getSomes)

type Outcome = readonly [frames: ReadonlyArray<unknown>, end: string]

/** The received frames, and the end of the connection. */
const outcome = <A, Out>(
  connector: Connector.Connector<string, Framing.FramedConnection<A, Out, FramingError>, FramingError>
): Promise<Outcome> =>
  Effect.gen(function*() {
    const connection = yield* connect(connector, "any")
    const frames: Array<A> = []
    const end = yield* Effect.exit(
      Stream.runForEach(connection.messages, (frame) => Effect.sync(() => frames.push(frame)))
    )
    const closed = yield* Effect.exit(connector.closed(connection))
    assert.deepStrictEqual(closed, end)
    return [
      frames.map((frame) => frame instanceof Uint8Array ? [...frame] : frame),
      Exit.match(end, {
        onSuccess: () => "regular",
        onFailure: ({ _tag, ...cause }) => _tag === "Fail" && "error" in cause ? cause.error.reason._tag : _tag
      })
    ] as const
  }).pipe(Effect.scoped, Effect.runPromise)

const split = (bytes: Uint8Array, cuts: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((one, other) => one - other)
  return places.slice(1).map((place, index) => bytes.subarray(places[index], place))
}

/** The reference implementation for lines, byte by byte. */
const linesOf = (bytes: Uint8Array): Outcome => {
  const frames: Array<string> = []
  let line: Array<number> = []
  const size = () => line.length - (line.at(-1) === 13 ? 1 : 0)
  for (const byte of bytes) {
    if (byte !== 10) {
      line.push(byte)
      if (size() > maxFrameSize) return [frames, "FrameTooLong"]
      continue
    }
    const text = Buffer.from(line.slice(0, size()))
    if (!Buffer.from(text.toString("utf8")).equals(text)) return [frames, "InvalidText"]
    frames.push(text.toString("utf8"))
    line = []
  }
  return [frames, line.length === 0 ? "regular" : "TornFrame"]
}

/** The reference implementation for length-prefixed frames. */
const framesOf = (lengthBytes: 1 | 2 | 4, endianness: "big" | "little", bytes: Uint8Array): Outcome => {
  const frames: Array<ReadonlyArray<number>> = []
  const buffer = Buffer.from(bytes)
  let start = 0
  while (buffer.length - start >= lengthBytes) {
    const length = endianness === "big" ? buffer.readUIntBE(start, lengthBytes) : buffer.readUIntLE(start, lengthBytes)
    if (length > maxFrameSize) return [frames, "FrameTooLong"]
    if (buffer.length - start - lengthBytes < length) return [frames, "TornFrame"]
    frames.push([...buffer.subarray(start + lengthBytes, start + lengthBytes + length)])
    start += lengthBytes + length
  }
  return [frames, start === buffer.length ? "regular" : "TornFrame"]
}

const cuts = fc.array(fc.nat(), { maxLength: 8 })

/** Mostly valid lines, sometimes invalid bytes. */
const lineBytes = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.constantFrom("a", "\n", "\r\n", "ł", "\uFEFF", "a\n", "🙂\n").map((text) => [...Buffer.from(text)])
    },
    { weight: 1, arbitrary: fc.constantFrom([0xc5], [0xff], [13], [0xed, 0xa0, 0x80]) }
  ),
  { maxLength: 30 }
).map((parts) => Uint8Array.from(parts.flat()))

const prefixes = fc.record({
  lengthBytes: fc.constantFrom(1 as const, 2 as const, 4 as const),
  endianness: fc.constantFrom("big" as const, "little" as const)
})

describe("frames", () => {
  it("lines do not depend on how the bytes are split", () =>
    fc.assert(
      fc.asyncProperty(lineBytes, cuts, async (bytes, cuts) => {
        const connector = transport(split(bytes, cuts)).pipe(Framing.lines({ maxFrameSize }))
        assert.deepStrictEqual(await outcome(connector), linesOf(bytes))
      }),
      { numRuns: 300 }
    ))

  it("length-prefixed frames do not depend on how the bytes are split", () =>
    fc.assert(
      fc.asyncProperty(
        prefixes,
        fc.array(fc.oneof({ weight: 8, arbitrary: fc.nat(3) }, { weight: 1, arbitrary: fc.nat(255) }), {
          maxLength: 40
        }),
        cuts,
        async ({ endianness, lengthBytes }, values, cuts) => {
          const bytes = Uint8Array.from(values)
          const connector = transport(split(bytes, cuts)).pipe(
            Framing.lengthPrefixed({ lengthBytes, endianness, maxFrameSize })
          )
          assert.deepStrictEqual(await outcome(connector), framesOf(lengthBytes, endianness, bytes))
        }
      ),
      { numRuns: 300 }
    ))

  it("sent lines are received unchanged, and a text that is not a line is rejected", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(fc.string(), fc.fullUnicodeString(), fc.string16bits(), fc.constantFrom("\n", "\r", "a\r\nb"))
        ),
        cuts,
        async (texts, cuts) => {
          const sent: Array<Uint8Array | string> = []
          const accepted = await Effect.flatMap(
            connect(Framing.lines(transport([], sent)), "any"),
            ({ send }) => accepting(texts, send)
          ).pipe(Effect.scoped, Effect.runPromise)
          assert.strictEqual(sent.length, accepted.length)
          const [received, end] = await outcome(Framing.lines(transport(split(Buffer.from(sent.join("")), cuts))))
          assert.deepStrictEqual([received, end], [accepted, "regular"])
        }
      ),
      { numRuns: 100 }
    ))

  it("length-prefixed frames are received unchanged", () =>
    fc.assert(
      fc.asyncProperty(prefixes, fc.array(fc.uint8Array({ maxLength: 300 })), cuts, async (prefix, frames, cuts) => {
        const sent: Array<Uint8Array | string> = []
        const accepted = await Effect.flatMap(
          connect(Framing.lengthPrefixed(transport([], sent), prefix), "any"),
          ({ send }) => accepting(frames, send)
        ).pipe(Effect.scoped, Effect.runPromise)
        const bytes = Buffer.concat(sent.map((each) => Buffer.from(each as Uint8Array)))
        const [received, end] = await outcome(Framing.lengthPrefixed(transport(split(bytes, cuts)), prefix))
        assert.deepStrictEqual([received, end], [accepted.map((frame) => [...frame]), "regular"])
        if (prefix.lengthBytes > 1) assert.strictEqual(accepted.length, frames.length)
      }),
      { numRuns: 100 }
    ))
})
