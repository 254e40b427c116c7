/** A4, S1, S3: work that fails or ends because of the loss of its connection, before the loop has noticed the loss. */
import { describe, expect } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { askNow, pass, refuse, settle } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

const { forEachConnection, resumableStream, stream, useRetrying } = PersistentConnection

interface Line {
  readonly number: number
  readonly end: Deferred.Deferred<void>
}

/** A connector without `isClosed`, whose `closed` needs several turns. */
const withoutIsClosed = Effect.gen(function*() {
  let connections = 0
  const service = yield* PersistentConnection.make({
    serverName: "withoutIsClosed",
    address: Effect.void,
    retry: RetryPolicy.fixed(0),
    connector: Connector.make({
      connect: () => Effect.map(Deferred.make<void>(), (end): Line => ({ number: ++connections, end })),
      closed: ({ end }: Line) =>
        Deferred.await(end).pipe(
          Effect.raceFirst(Effect.never),
          Effect.timeoutOption("1 day"),
          Effect.zipWith(Effect.void, () => "closed", { concurrent: true }),
          Effect.race(Effect.never)
        )
    })
  })
  yield* settle
  return service
})

/** Ends the first connection and fails on it. */
const failsFirst = ({ end, number }: Line) =>
  number === 1 ? Effect.zipRight(Deferred.succeed(end, undefined), refuse("broken pipe")) : Effect.succeed(number)

describe("continues after a loss that only a slow `closed` reports:", () => {
  it.scoped("useRetrying", () =>
    Effect.gen(function*() {
      const asked = yield* askNow(useRetrying(yield* withoutIsClosed, failsFirst))
      expect(asked.answer).toBe(2)
    }))

  it.scoped("forEachConnection", () =>
    Effect.gen(function*() {
      const visited: Array<number> = []
      const visit = (line: Line) => Effect.map(failsFirst(line), (number) => visited.push(number))
      const asked = yield* askNow(forEachConnection(yield* withoutIsClosed, visit))
      expect([asked.isWaiting, visited]).toEqual([true, [2]])
    }))

  it.scoped("a stream that fails and a stream that ends (S1)", () =>
    Effect.gen(function*() {
      const service = yield* withoutIsClosed
      const failing = yield* askNow(Stream.runHead(stream(service, (line) => Stream.fromEffect(failsFirst(line)))))
      expect(failing.answer).toEqual(Option.some(2))
      const ending = ({ end, number }: Line) =>
        number === 2 ? Stream.execute(Deferred.succeed(end, undefined)) : Stream.make(number)
      const ended = yield* askNow(Stream.runHead(stream(service, ending)))
      expect(ended.answer).toEqual(Option.some(3))
    }))

  it.scoped("a subscription that fails (S3)", () =>
    Effect.gen(function*() {
      const subscribe = (line: Line) => Effect.map(failsFirst(line), Stream.make)
      const resumed = resumableStream(yield* withoutIsClosed, { subscribe, cursor: (n: number) => n })
      const asked = yield* askNow(Stream.runHead(resumed))
      yield* pass(1)
      expect(asked.answer).toEqual(Option.some({ _tag: "Element", value: 2 }))
    }))
})
