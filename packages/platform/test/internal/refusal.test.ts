import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import { EventEmitter } from "node:events"
import { RefusalReader } from "../../src/internal/refusal.js"

const now = Date.UTC(2030, 0, 1)

const clock: Clock.Clock = { ...Clock.make(), unsafeCurrentTimeMillis: () => now }

const read = (parts: object) => {
  const response = Object.assign(new EventEmitter(), { statusCode: 503 }, parts)
  let done = 0
  const reader = new RefusalReader(response, clock, () => done++)
  return {
    response,
    done: () => done,
    body: () => reader.refusal.body && Redacted.value(reader.refusal.body),
    refusal: () => reader.refusal
  }
}

const retryAfter = (headers: object) => read({ headers }).refusal().retryAfter

describe("the response of a server that refuses the upgrade", () => {
  it("may have no body and no headers", () => {
    assert.deepStrictEqual(read({}).refusal(), { status: 503 })
    assert.deepStrictEqual(read({ headers: null }).refusal(), { status: 503 })
  })

  it("may come from a platform that neither says the status nor emits events", () => {
    for (const response of [{}, { on: () => assert.fail("half an emitter") }]) {
      const reader = new RefusalReader(response, clock, () => assert.fail("not done"))
      assert.deepStrictEqual(reader.refusal, { status: 0 })
    }
  })

  it.each(["end", "error", "close"])("is complete at its event `%s`", (event) => {
    const { body, done, response } = read({})
    response.emit("data", Buffer.from("no"))
    assert.strictEqual(done(), 0)
    response.emit(event, new Error("broken"))
    assert.deepStrictEqual([done(), body()], [1, "no"])
  })

  it("has a body of bytes, whose characters may be divided between chunks", () => {
    const { body, response } = read({})
    const bytes = Buffer.from("żółw")
    for (const byte of bytes) response.emit("data", Buffer.from([byte]))
    response.emit("data", "not bytes")
    assert.strictEqual(body(), "żółw")
  })

  it("is complete at 8 KiB of its body, and not before", () => {
    const { body, done, response } = read({})
    response.emit("data", Buffer.alloc(8191, "a"))
    assert.strictEqual(done(), 0)
    response.emit("data", Buffer.from("bc"))
    response.emit("data", Buffer.from("d"))
    assert.deepStrictEqual([done(), body()], [1, `${"a".repeat(8191)}b`])
    const exact = read({})
    exact.response.emit("data", Buffer.alloc(8192, "a"))
    assert.strictEqual(exact.done(), 1)
  })

  it.each<[unknown, Duration.Duration | undefined]>([
    ["120", Duration.minutes(2)],
    [" 0 ", Duration.zero],
    ["5 minutes", undefined],
    ["in 5", undefined],
    ["-5", undefined],
    ["", undefined],
    [5, undefined],
    [["5"], undefined],
    ["Tue, 01 Jan 2030 00:01:00 GMT", Duration.minutes(1)],
    ["Mon, 31 Dec 2029 23:59:00 GMT", Duration.zero],
    ["after Tue, 01 Jan 2030 00:01:00 GMT", undefined],
    ["Tue, 01 Jan 2030 00:01:00 GMT+1", undefined],
    ["Tue, 01 Jan 2030 00:01:00", undefined],
    [", 01 Jan 2030 00:01:00 GMT", undefined],
    ["2030-01-01", undefined],
    ["Tue, soon GMT", undefined]
  ])("may name a retry time in a header: %o", (value, expected) => {
    assert.deepStrictEqual(retryAfter({ "retry-after": value }), expected)
  })

  it("may name a date, which counts from the server's own date if that is valid", () => {
    const at = "Tue, 01 Jan 2030 00:01:00 GMT"
    assert.deepStrictEqual(
      retryAfter({ "retry-after": at, date: " Tue, 01 Jan 2030 00:00:20 GMT" }),
      Duration.seconds(40)
    )
    assert.deepStrictEqual(retryAfter({ "retry-after": at, date: "yesterday" }), Duration.minutes(1))
    assert.deepStrictEqual(retryAfter({ "retry-after": at, date: 5 }), Duration.minutes(1))
  })
})
