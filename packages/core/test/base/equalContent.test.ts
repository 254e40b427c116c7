import { equalCause, interruptAsDefect, summary } from "#internal/base/cause.js"
import { equalContent } from "#internal/base/equalContent.js"
import { describe, expect, it } from "@effect/vitest"
import { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as FastCheck from "effect/FastCheck"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"

class Refused extends Data.TaggedError("Refused")<{ readonly status: number; readonly detail?: unknown }> {}
class Denied extends Data.TaggedError("Denied")<{ readonly status: number }> {}

class CodedError extends Error {
  constructor(message: string, readonly code: string, options?: ErrorOptions) {
    super(message, options)
    this.name = "CodedError"
  }
}

class Host {
  constructor(readonly name: string) {}
}

class OtherHost {
  constructor(readonly name: string) {}
}

/** Caused by something that was caused by something. */
const caused = (message: string) =>
  new Error("no", { cause: new Error("why", { cause: new CodedError(message, "X") }) })

const lost = (generation: number) => new ConnectionLost({ serverName: "prices", generation, cause: Cause.empty })

/** Contains itself. */
const cyclic = (name: string) => {
  const error: Error & { self?: unknown } = Object.assign(new Error("no"), { name })
  error.self = { inner: [error] }
  return error
}

const unreadable = () => ({
  get secret(): never {
    throw new Error("private")
  }
})

const fiber = (id: number) => FiberId.runtime(id, 0)

const interrupted = (id: number) => Cause.parallel(Cause.fail(new Refused({ status: 401 })), Cause.interrupt(fiber(id)))

/** Both directions, as equality has none. */
const same = (self: unknown, that: unknown): boolean => {
  const answer = equalContent(self, that)
  expect(equalContent(that, self)).toBe(answer)
  return answer
}

class Computed extends Error {
  override get cause(): string {
    return "computed"
  }
}

class Secret {
  readonly #value: string
  constructor(value: string) {
    this.#value = value
  }
  reveal(): string {
    return this.#value
  }
}

/** A value that is rebuilt from its description, so that nothing of it is identical. */
const rebuilt = FastCheck.json().map((text) => [JSON.parse(text), JSON.parse(text)] as const)

describe("equalContent", () => {
  it.prop("C5: a value and its copy are the same", [rebuilt], ([[self, that]]) => {
    expect(same(self, that)).toBe(true)
  })

  it.prop("C5: values of which JSON differs are not the same", [FastCheck.json(), FastCheck.json()], ([one, other]) => {
    // Whatever the order of the keys is: `toEqual`'s opinion counts.
    const [self, that] = [JSON.parse(one), JSON.parse(other)]
    let isEqual = true
    try {
      expect(self).toStrictEqual(that)
    } catch {
      isEqual = false
    }
    expect(same(self, that)).toBe(isEqual)
  })

  it.prop(
    "C5: never throws, and is reflexive",
    [FastCheck.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true })],
    ([value]) => {
      expect(same(value, value)).toBe(true)
    }
  )

  it("C5: errors from different places are the same", () => {
    const here = new Error("refused")
    const there = (() => new Error("refused"))()
    expect(here.stack).not.toBe(there.stack)
    expect(same(here, there)).toBe(true)
  })

  it("C5: errors differ by message, name, class, and by what else they carry", () => {
    expect(same(new Error("refused"), new Error("reset"))).toBe(false)
    expect(same(new Error("refused"), new TypeError("refused"))).toBe(false)
    expect(same(Object.assign(new Error("no"), { name: "A" }), Object.assign(new Error("no"), { name: "B" }))).toBe(
      false
    )
    expect(same(new CodedError("no", "ECONNREFUSED"), new CodedError("no", "ECONNREFUSED"))).toBe(true)
    expect(same(new CodedError("no", "ECONNREFUSED"), new CodedError("no", "ECONNRESET"))).toBe(false)
    expect(same(new Error("no"), { name: "Error", message: "no" })).toBe(false)
  })

  it("C5: what an error was caused by counts", () => {
    expect(same(caused("deep"), caused("deep"))).toBe(true)
    expect(same(caused("deep"), caused("deeper"))).toBe(false)
    expect(same(caused("deep"), new Error("no"))).toBe(false)
    expect(same(new Error("no", { cause: undefined }), new Error("no", { cause: "some" }))).toBe(false)
  })

  it("C5: tagged errors are compared by tag and content", () => {
    expect(same(new Refused({ status: 401 }), new Refused({ status: 401 }))).toBe(true)
    expect(same(new Refused({ status: 401 }), new Refused({ status: 403 }))).toBe(false)
    expect(same(new Refused({ status: 401 }), new Denied({ status: 401 }))).toBe(false)
    expect(same(new Refused({ status: 401, detail: { a: [1] } }), new Refused({ status: 401, detail: { a: [1] } })))
      .toBe(true)
    expect(same(new Refused({ status: 401, detail: { a: [1] } }), new Refused({ status: 401, detail: { a: [2] } })))
      .toBe(false)
    expect(same(lost(1), lost(1))).toBe(true)
    expect(same(lost(1), lost(2))).toBe(false)
  })

  it("C5: values that define equality themselves decide", () => {
    expect(same(Duration.seconds(1), Duration.millis(1000))).toBe(true)
    expect(same(Duration.seconds(1), Duration.seconds(2))).toBe(false)
    expect(same(Chunk.make(1, 2), Chunk.make(1, 2))).toBe(true)
    expect(same(Option.some(1), Option.some(2))).toBe(false)
    expect(same(Data.struct({ host: "a" }), Data.struct({ host: "a" }))).toBe(true)
  })

  it("C5: objects without errors are compared by class and content", () => {
    expect(same(new Host("a"), new Host("a"))).toBe(true)
    expect(same(new Host("a"), new Host("b"))).toBe(false)
    expect(same(new Host("a"), new OtherHost("a"))).toBe(false)
    expect(same(new Date(5), new Date(5))).toBe(true)
    expect(same(new Date(5), new Date(6))).toBe(false)
    expect(same(new URL("wss://a/x"), new URL("wss://a/x"))).toBe(true)
    expect(same(new URL("wss://a/x"), new URL("wss://a/y"))).toBe(false)
    expect(same({ a: undefined }, {})).toBe(false)
    expect(same({ a: undefined }, { b: undefined })).toBe(false)
    expect(same([1, 2], [1, 2])).toBe(true)
    expect(same([1, 2], [2, 1])).toBe(false)
  })

  it("C5: values that are not objects are compared as they are", () => {
    expect(same(NaN, NaN)).toBe(true)
    expect(same(1, "1")).toBe(false)
    expect(same(null, undefined)).toBe(false)
    expect(same(null, {})).toBe(false)
    expect(same(1n, 1n)).toBe(true)
  })

  it("C5: values that contain themselves come to an end", () => {
    expect(same(cyclic("a"), cyclic("a"))).toBe(true)
    expect(same(cyclic("a"), cyclic("b"))).toBe(false)
    const [left, right]: [{ other?: unknown }, { other?: unknown }] = [{}, {}]
    left.other = right
    right.other = left
    expect(same(left, right)).toBe(true)
  })

  it("C5: the errors in an AggregateError count", () => {
    const aggregate = (...codes: ReadonlyArray<string>) =>
      new AggregateError(codes.map((code) => new CodedError("no", code)), "all failed")
    expect(same(aggregate("ECONNREFUSED", "ENETUNREACH"), aggregate("ECONNREFUSED", "ENETUNREACH"))).toBe(true)
    expect(same(aggregate("ECONNREFUSED", "ENETUNREACH"), aggregate("ECONNREFUSED", "EHOSTUNREACH"))).toBe(false)
  })

  it("C5: a cause that an error class computes is not its content", () => {
    expect(same(new Computed("no"), new Computed("no"))).toBe(true)
  })

  it("C4, C5: maps and sets are compared by their entries", () => {
    const headers = (status: number) => new Map<string, unknown>([["a", 1], ["b", { status }]])
    expect(same(headers(401), headers(401))).toBe(true)
    expect(same(headers(401), headers(403))).toBe(false)
    expect(same(headers(401), new Map([...headers(401)].reverse()))).toBe(true)
    expect(same(headers(401), new Map([...headers(401)].slice(1)))).toBe(false)
    expect(same(new Refused({ status: 401, detail: headers(1) }), new Refused({ status: 401, detail: headers(1) })))
      .toBe(true)
    expect(same(new Set(["a", "b"]), new Set(["b", "a"]))).toBe(true)
    expect(same(new Set(["a", "b"]), new Set(["a", "c"]))).toBe(false)
    expect(same(new Set([new Host("a")]), new Set([new Host("a")]))).toBe(true)
    expect(same(new Set([new Host("a")]), new Set([new Host("b")]))).toBe(false)
    expect(same(new Map([[new Host("a"), 1]]), new Map([[new Host("a"), 1]]))).toBe(true)
    expect(same(new Map([[new Host("a"), 1]]), new Map([[new Host("a"), 2]]))).toBe(false)
    expect(same(new Set(), new Map())).toBe(false)
    const shared = new Host("a")
    expect(same(new Set([new Host("a"), shared]), new Set([shared, new Host("b")]))).toBe(false)
  })

  it("C5: what is shared inside a value is compared once", () => {
    const shared = (depth: number): object => {
      if (depth === 0) return { end: true }
      const inner = shared(depth - 1)
      return { left: inner, right: inner }
    }
    expect(same(shared(100), shared(100))).toBe(true)
    expect(same(shared(100), shared(99))).toBe(false)
  })

  it("C5: what does not show its content is different", () => {
    expect(same(/a/, /b/)).toBe(false)
    expect(same(new Uint8Array([1]).buffer, new Uint8Array([2]).buffer)).toBe(false)
    expect(same(new Secret("a"), new Secret("b"))).toBe(false)
  })

  it("C5: a value that contains itself is not one that only looks so at first", () => {
    const endless: { next?: unknown } = {}
    endless.next = endless
    expect(same(endless, { next: { next: {} } })).toBe(false)
  })

  it("C5: never throws: what cannot be read is different", () => {
    expect(same(unreadable(), unreadable())).toBe(false)
    expect(same(
      new Proxy({}, {
        getPrototypeOf: () => {
          throw new Error("no")
        }
      }),
      {}
    )).toBe(false)
  })
})

describe("equalCause", () => {
  it("C5: a typed error and a defect with the same text are different", () => {
    expect(equalCause(Cause.fail("refused"), Cause.die("refused"))).toBe(false)
    expect(equalCause(Cause.fail(new Error("refused")), Cause.die(new Error("refused")))).toBe(false)
    expect(equalCause(Cause.die(new Error("refused")), Cause.die(new Error("refused")))).toBe(true)
  })

  it("C5: fibers and the form of the cause do not count", () => {
    const failed = Cause.fail(new Refused({ status: 401 }))
    expect(equalCause(failed, interrupted(1))).toBe(true)
    expect(equalCause(interrupted(1), interrupted(2))).toBe(true)
    expect(equalCause(Cause.interrupt(fiber(1)), Cause.interrupt(fiber(2)))).toBe(true)
    expect(equalCause(Cause.parallel(failed, Cause.die(1)), Cause.sequential(failed, Cause.die(1)))).toBe(true)
  })

  it("C5: all failures and all defects count", () => {
    const one = Cause.fail("one")
    expect(equalCause(one, Cause.parallel(one, Cause.fail("two")))).toBe(false)
    expect(equalCause(one, Cause.sequential(one, Cause.die("two")))).toBe(false)
    expect(equalCause(Cause.empty, one)).toBe(false)
    expect(equalCause(Cause.empty, Cause.empty)).toBe(true)
  })
})

describe("summary", () => {
  it("is one line for a person", () => {
    expect(summary(Cause.empty)).toBe("a close without an error")
    expect(summary(Cause.interrupt(FiberId.none))).toBe("an interruption")
    expect(summary(Cause.fail(new Error("refused")))).toBe("refused")
    expect(summary(Cause.parallel(Cause.fail(new Error("refused")), Cause.die(new Error("broken"))))).toBe(
      "refused, broken"
    )
  })

  it("shows what an error carries if it has no message", () => {
    class Silent extends Data.TaggedError("Silent") {}
    class Wrapped extends Data.TaggedError("Wrapped")<{ readonly cause: unknown }> {}
    const failed = (error: unknown) => summary(Cause.fail(error))
    expect(failed(new Denied({ status: 401 }))).toBe("Denied {\"status\":401}")
    expect(failed(new Silent())).toBe("Silent")
    expect(failed(Object.assign(new Silent(), { message: undefined }))).toBe("Silent")
    expect(failed({ _tag: "Denied", status: 401 })).toBe("Denied {\"status\":401}")
    expect(failed(new Wrapped({ cause: new Error("reset") }))).toBe("Wrapped {\"cause\":\"Error: reset\"}")
    expect(failed(new Wrapped({ cause: new Denied({ status: 401 }) }))).toBe(
      "Wrapped {\"cause\":{\"_tag\":\"Denied\",\"status\":401}}"
    )
    expect(failed(new AggregateError([new CodedError("no", "ECONNREFUSED")]))).toBe(
      "AggregateError {\"errors\":[\"CodedError: no\"]}"
    )
    expect(failed(new Error("An error has occurred"))).toBe("Error")
    expect(failed(cyclic("A"))).toBe("no")
    expect(failed({ reason: "closed" })).toBe("{\"reason\":\"closed\"}")
    expect(failed(undefined)).toBe("undefined")
  })

  it("shows neither secrets nor more of an error than a line, and never throws", () => {
    class Unauthorized extends Data.TaggedError("Unauthorized")<{ readonly url: string; readonly password: string }> {}
    const url = "wss://me:hush@feed.example.com/?token=hush"
    expect(summary(Cause.fail(new Unauthorized({ url, password: "hush" })))).toBe(
      "Unauthorized {\"url\":\"wss://feed.example.com/\",\"password\":\"<redacted>\"}"
    )
    expect(summary(Cause.fail(new Refused({ status: 1, detail: "x".repeat(1_000) }))).length).toBeLessThan(400)
    const endless = new Refused({ status: 1, detail: [] })
    Object.assign(endless, { detail: [endless] })
    expect(summary(Cause.fail(endless))).toBe("Refused {\"status\":1,\"detail\":[\"<circular>\"]}")
    const silent = {
      get _tag(): never {
        throw new Error("private")
      }
    }
    expect(summary(Cause.fail(silent))).toBe("<unreadable>")
  })
})

describe("interruptAsDefect", () => {
  it("D5: an interruption from within is a failure like any other", () => {
    const cause = interruptAsDefect(Cause.interrupt(FiberId.none))
    expect(Cause.isInterrupted(cause)).toBe(false)
    expect(Cause.isDie(cause)).toBe(true)
    expect(interruptAsDefect(Cause.empty)).toEqual(Cause.empty)
    expect(interruptAsDefect(Cause.fail("no"))).toEqual(Cause.fail("no"))
  })
})
