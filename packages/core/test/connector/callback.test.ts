/** `Connector.callback` as the `closed` of a connector. */
import { describe, expect } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { makeFixture, pass, settle, stateTag } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

type Register = Parameters<typeof Connector.callback<void, never>>[0]

/** A fixture with connections whose `closed` is this callback. */
const withClosed = (register: Register) =>
  makeFixture({
    connector: Connector.make({
      connect: (_: string) => Effect.succeed({}),
      closed: () => Connector.callback<void, never>(register)
    }) as never
  })

const nothing = () => {}

describe("a closed that is a callback", () => {
  it.scoped("ends the connection when it resumes, only once", () =>
    Effect.gen(function*() {
      const resumes: Array<(exit: Exit.Exit<void>) => void> = []
      const fixture = yield* withClosed((resume) => {
        resumes.push(resume)
        return nothing
      })
      yield* settle
      expect(yield* stateTag(fixture)).toBe("Connected")
      resumes[0]!(Exit.void)
      resumes[0]!(Exit.void)
      yield* settle
      expect(fixture.eventLog.filter((entry) => entry.includes("Disconnected"))).toHaveLength(1)
    }))

  const wrong: ReadonlyArray<readonly [string, Register]> = [
    ["throws when it registers", () => {
      throw new Error("bug")
    }],
    ["resumes at once", (resume) => {
      resume(Exit.void)
      return nothing
    }]
  ]

  for (const [what, register] of wrong) {
    it.scoped(`D10: that ${what} is a loss, and does not stop the loop`, () =>
      Effect.gen(function*() {
        const { eventLog, service } = yield* withClosed(register)
        yield* pass(60)
        expect(eventLog.filter((entry) => entry.includes("Disconnected")).length).toBeGreaterThan(1)
        yield* service.close
        expect(yield* service.isClosed).toBe(true)
      }))
  }

  it.scoped("D10: that throws when it is cancelled does not stop the close", () =>
    Effect.gen(function*() {
      const fixture = yield* withClosed(() => () => {
        throw new Error("bug")
      })
      yield* settle
      yield* fixture.service.close
      expect(yield* stateTag(fixture)).toBe("Closed")
    }))

  it.scoped("D10: that gives no effect is a loss", () =>
    Effect.gen(function*() {
      const { eventLog } = yield* makeFixture({
        connector: Connector.make({
          connect: (_: string) => Effect.succeed({}),
          closed: (() => undefined) as never
        }) as never
      })
      yield* pass(60)
      expect(eventLog.filter((entry) => entry.includes("Disconnected")).length).toBeGreaterThan(1)
    }))

  it.scoped("may close the persistent connection when it registers, and is cancelled all the same", () =>
    Effect.gen(function*() {
      let cancelled = 0
      const fixture = yield* withClosed(() => {
        Effect.runFork(fixture.service.close)
        return () => void cancelled++
      })
      yield* settle
      expect(yield* stateTag(fixture)).toBe("Closed")
      expect(cancelled).toBe(1)
    }))
})

it.scoped("a closed that closes the persistent connection before it returns is interrupted", () =>
  Effect.gen(function*() {
    const fixture = yield* makeFixture({
      connector: Connector.make({
        connect: (_: string) => Effect.succeed({}),
        closed: () => {
          Effect.runFork(fixture.service.close)
          return Effect.never
        }
      }) as never
    })
    yield* settle
    // The end of the test leaves the scope, which would wait for a `closed` that still runs.
    expect(yield* stateTag(fixture)).toBe("Closed")
  }))
