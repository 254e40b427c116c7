import { equalCause, equalCauseBy, interruptAsDefect } from "#internal/base/cause.js"
import { renderCause } from "#internal/base/render.js"
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Equivalence from "effect/Equivalence"
import * as FastCheck from "effect/FastCheck"
import * as FiberId from "effect/FiberId"

class Refused extends Data.TaggedError("Refused")<{ readonly status: number; readonly detail?: unknown }> {}
class Denied extends Data.TaggedError("Denied")<{ readonly status: number }> {}

const fiber = (id: number) => FiberId.runtime(id, 0)

const interrupted = (id: number) => Cause.parallel(Cause.fail(new Refused({ status: 401 })), Cause.interrupt(fiber(id)))

/** Compares in both directions, because equality is symmetric. */
const same = (self: unknown, that: unknown): boolean => {
  const answer = equalCause(Cause.fail(self), Cause.fail(that))
  expect(equalCause(Cause.fail(that), Cause.fail(self))).toBe(answer)
  return answer
}

/** The error of an HTTP client. It holds its request, which holds values that differ in every attempt. */
const httpError = (id: string, { code = "ECONNREFUSED", hasMessage = true } = {}) =>
  Object.assign(new Error(hasMessage ? "Transport error (GET http://127.0.0.1/token)" : ""), {
    _tag: "RequestError",
    request: {
      method: "GET",
      headers: { traceparent: id, b3: id, "x-request-id": id },
      spanId: id,
      traceId: id,
      rawHeaders: ["x-request-id", id]
    },
    cause: Object.assign(new TypeError("fetch failed"), { cause: new Error(`connect ${code} 127.0.0.1:80`) })
  })

describe("two failures", () => {
  it("C5, D12: are the same if they differ only in where they were created", () => {
    const here = new Error("refused")
    const there = (() => new Error("refused"))()
    expect(here.stack).not.toBe(there.stack)
    expect(same(here, there)).toBe(true)
  })

  it("C5, D12: differ if their messages differ; a difference that the text does not show does not count", () => {
    expect(same(new Error("refused"), new Error("reset"))).toBe(false)
    expect(same(new Error("refused"), Object.assign(new TypeError("refused"), { at: 1 }))).toBe(true)
    expect(same(new Error("refused"), "refused")).toBe(true)
  })

  it("C5, D12: without messages, differ if their tags or fields differ", () => {
    expect(same(new Refused({ status: 401 }), new Refused({ status: 401 }))).toBe(true)
    expect(same(new Refused({ status: 401 }), new Refused({ status: 403 }))).toBe(false)
    expect(same(new Refused({ status: 401 }), new Denied({ status: 401 }))).toBe(false)
    expect(same(new Refused({ status: 1, detail: { a: [1] } }), new Refused({ status: 1, detail: { a: [1] } }))).toBe(
      true
    )
    expect(same(new Refused({ status: 1, detail: { a: [1] } }), new Refused({ status: 1, detail: { a: [2] } }))).toBe(
      false
    )
  })

  it("C5, D12: differ if their causes differ", () => {
    const caused = (deepest: string) =>
      new Error("no", { cause: new Error("why", { cause: new Error(deepest, { cause: new Error("end") }) }) })
    expect(same(caused("deep"), caused("deep"))).toBe(true)
    expect(same(caused("deep"), caused("deeper"))).toBe(false)
    expect(same(caused("deep"), new Error("no"))).toBe(false)
    const all = (...texts: ReadonlyArray<string>) => new AggregateError(texts.map((text) => new Error(text)), "none")
    expect(same(all("ECONNREFUSED", "ENETUNREACH"), all("ECONNREFUSED", "ENETUNREACH"))).toBe(true)
    expect(same(all("ECONNREFUSED", "ENETUNREACH"), all("ECONNREFUSED", "EHOSTUNREACH"))).toBe(false)
  })

  it("D12: are the same if their requests differ only by headers and by ids of spans and traces", () => {
    expect(same(httpError("1"), httpError("2"))).toBe(true)
    expect(same(httpError("1", { hasMessage: false }), httpError("2", { hasMessage: false }))).toBe(true)
    expect(same(httpError("1"), httpError("1", { code: "ECONNRESET" }))).toBe(false)
  })

  it("D12: are compared before they are shortened", () => {
    const long = "x".repeat(5_000)
    expect(same(new Error(`${long} one`), new Error(`${long} two`))).toBe(false)
  })

  it("D12: are the same if they differ only in a secret", () => {
    expect(same(new Error("GET wss://a/?token=1 failed"), new Error("GET wss://a/?token=2 failed"))).toBe(true)
  })

  it("D12: may be circular or unreadable", () => {
    const cyclic = (message: string) => {
      const error = new Error(message)
      error.cause = new Error("inner", { cause: error })
      return error
    }
    expect(same(cyclic("a"), cyclic("a"))).toBe(true)
    expect(same(cyclic("a"), cyclic("b"))).toBe(false)
    const unreadable = Object.defineProperty(new Error(), "message", {
      get: () => {
        throw new Error("private")
      }
    })
    expect(same(unreadable, unreadable)).toBe(true)
    expect(same(unreadable, new Error("no"))).toBe(false)
  })
})

describe("two causes", () => {
  it("C5: differ if one is a typed error and the other a defect with the same text", () => {
    expect(equalCause(Cause.fail("refused"), Cause.die("refused"))).toBe(false)
    expect(equalCause(Cause.fail(new Error("refused")), Cause.die(new Error("refused")))).toBe(false)
    expect(equalCause(Cause.die(new Error("refused")), Cause.die(new Error("refused")))).toBe(true)
  })

  it("C5: are the same if they differ only in fiber ids or in structure", () => {
    const failed = Cause.fail(new Refused({ status: 401 }))
    expect(equalCause(failed, interrupted(1))).toBe(true)
    expect(equalCause(interrupted(1), interrupted(2))).toBe(true)
    expect(equalCause(Cause.interrupt(fiber(1)), Cause.interrupt(fiber(2)))).toBe(true)
    expect(equalCause(Cause.parallel(failed, Cause.die(1)), Cause.sequential(failed, Cause.die(1)))).toBe(true)
    const holding = (id: number) => Cause.fail({ _tag: "Failed", held: interrupted(id) })
    expect(equalCause(holding(1), holding(2))).toBe(true)
  })

  it("C5: differ if one has an additional failure or defect", () => {
    const one = Cause.fail("one")
    expect(equalCause(one, Cause.parallel(one, Cause.fail("two")))).toBe(false)
    expect(equalCause(one, Cause.sequential(one, Cause.die("two")))).toBe(false)
    expect(equalCause(Cause.empty, one)).toBe(false)
    expect(equalCause(Cause.empty, Cause.empty)).toBe(true)
  })

  it.prop(
    "C5, D12: are the same if and only if their texts are the same",
    [FastCheck.anything({ withDate: true, withMap: true }), FastCheck.anything({ withDate: true, withMap: true })],
    ([self, that]) => {
      const [one, other] = [Cause.fail(self), Cause.die(that)]
      expect(equalCause(one, one)).toBe(true)
      expect(equalCause(one, other)).toBe(renderCause(one) === renderCause(other))
    }
  )
})

describe("a custom equivalence of errors", () => {
  const byStatus = equalCauseBy<Refused | Cause.TimeoutException>(
    Equivalence.make((self, that) => self._tag === "Refused" && that._tag === "Refused" && self.status === that.status)
  )
  const refused = (status: number, detail?: unknown) => Cause.fail(new Refused({ status, detail }))

  it("D12: compares the typed failures", () => {
    expect(byStatus(refused(401, "one"), refused(401, "two"))).toBe(true)
    expect(byStatus(refused(401, "one"), refused(403, "one"))).toBe(false)
    expect(byStatus(refused(401), Cause.parallel(refused(401), refused(401)))).toBe(false)
    expect(byStatus(refused(401), Cause.empty)).toBe(false)
  })

  it("D12: if it throws, the failures differ", () => {
    const throwing = equalCauseBy(() => {
      throw new Error("incomparable")
    })
    expect(throwing(Cause.fail("a"), Cause.fail("a"))).toBe(false)
  })

  it("D12: does not compare defects, which are compared by their texts", () => {
    expect(byStatus(Cause.die("a"), Cause.die("a"))).toBe(true)
    expect(byStatus(Cause.die("a"), Cause.die("b"))).toBe(false)
    expect(byStatus(refused(401), Cause.parallel(refused(401), Cause.die("b")))).toBe(false)
  })
})

describe("interruptAsDefect", () => {
  it("D5: turns code that interrupts itself into a defect", () => {
    const cause = interruptAsDefect(Cause.interrupt(FiberId.none))
    expect(Cause.isInterrupted(cause)).toBe(false)
    expect(Cause.isDie(cause)).toBe(true)
    expect(interruptAsDefect(Cause.empty)).toEqual(Cause.empty)
    expect(interruptAsDefect(Cause.fail("no"))).toEqual(Cause.fail("no"))
  })
})
