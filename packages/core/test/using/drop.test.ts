/** `reconnectNow` with `whenConnected: "drop"`: it breaks the connection before it opens the next one. */
import { describe, expect } from "@effect/vitest"
import { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import {
  askNow,
  type Fixture,
  makeFixture,
  on,
  type Options,
  pass,
  refuse,
  Refused,
  settle,
  sleep,
  stateTag
} from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

const { closeGracefully, reconnectNow, reconnectOn, use } = PersistentConnection

const drop = ({ service }: { readonly service: PersistentConnection.PersistentConnection<unknown, unknown> }) =>
  reconnectNow(service, { whenConnected: "drop" })

/** A fixture with an hour between attempts. It records how its connections end. */
const makeRecordingFixture = (options: Options = {}) =>
  Effect.gen(function*() {
    const ends: Array<string> = []
    const write = (what: string) => Effect.sync(() => void ends.push(what))
    const fixture: Fixture = yield* makeFixture({ retry: RetryPolicy.fixed("1 hour"), ...options }, ({ server }) => {
      server.terminate = ({ number }) => write(`terminate ${number}`)
      server.release = ({ number }) => write(`release ${number}`)
    })
    yield* settle
    return { ...fixture, ends }
  })

describe("reconnectNow that drops the connection", () => {
  it.scoped("reports the loss, and makes the next attempt at once", () =>
    Effect.gen(function*() {
      const fixture = yield* makeRecordingFixture()
      yield* pass(5)
      yield* drop(fixture)
      yield* settle
      expect(fixture.eventLog.slice(2)).toEqual([
        "0 Connected 1",
        "5 Disconnected 1",
        "5 AttemptingToConnect",
        "5 ObtainedAddress a",
        "5 Connected 2"
      ])
    }))

  it.scoped("makes the next attempt at once, even if the peer closes before the loss is reported", () =>
    Effect.gen(function*() {
      const onEvent = on("Connected", (event) => sleep("generation" in event && event.generation === 1 ? 5 : 0))
      const fixture = yield* makeRecordingFixture({ onEvent })
      yield* askNow(drop(fixture))
      yield* pass(1)
      fixture.server.line.drop(Exit.fail(new Refused({ text: "reset" })))
      yield* pass(4)
      expect(fixture.eventLog.slice(3)).toEqual([
        "5 Disconnected 1",
        "5 AttemptingToConnect",
        "5 ObtainedAddress a",
        "5 Connected 2"
      ])
    }))

  it.scoped("terminates the connection before its release, and does nothing else", () =>
    Effect.gen(function*() {
      const fixture = yield* makeRecordingFixture()
      yield* drop(fixture)
      yield* settle
      expect(fixture.ends).toEqual(["terminate 1", "release 1"])
      yield* fixture.service.close
      expect(fixture.ends).toEqual(["terminate 1", "release 1", "release 2"])
    }))

  it.scoped("is not delayed by a `terminate` or a release that hangs", () =>
    Effect.gen(function*() {
      const fixture = yield* makeRecordingFixture({ closeTimeout: "1 minute" })
      fixture.server.release = ({ number }) => number === 1 ? Effect.never : Effect.void
      fixture.server.terminate = () => sleep(30)
      const dropping = yield* askNow(drop(fixture))
      expect(fixture.eventLog.at(-1)).toBe("0 Connected 2")
      expect(dropping.isWaiting).toBe(true)
      yield* pass(30)
      expect(dropping.exit).toEqual(Exit.void)
    }))

  it.scoped("makes the uses of the connection fail with its loss", () =>
    Effect.gen(function*() {
      const fixture = yield* makeRecordingFixture()
      const used = yield* askNow(use(fixture.service, () => Effect.never))
      yield* drop(fixture)
      yield* settle
      expect(used.error).toBeInstanceOf(ConnectionLost)
      expect((used.error as ConnectionLost).generation).toBe(1)
    }))

  it.scoped("can be called from inside a use, which it ends", () =>
    Effect.gen(function*() {
      const fixture = yield* makeRecordingFixture()
      const used = yield* askNow(use(fixture.service, () => Effect.zipRight(sleep(1), drop(fixture))))
      yield* pass(1)
      expect(used.error).toBeInstanceOf(ConnectionLost)
      expect(fixture.ends).toEqual(["terminate 1", "release 1"])
      expect(fixture.eventLog.at(-1)).toBe("1 Connected 2")
    }))

  it.scoped("A4, E1: the connection is not returned any more, even while its Connected handler delays the event", () =>
    Effect.gen(function*() {
      const fixture = yield* makeRecordingFixture({ onEvent: on("Connected", () => sleep(10)) })
      yield* drop(fixture)
      const asked = yield* askNow(fixture.service.connected)
      yield* pass(9)
      expect([asked.isWaiting, fixture.eventLog.at(-1)]).toEqual([true, "0 Connected 1"])
      yield* pass(1)
      expect(asked.answer).toBe(fixture.server.lines[1])
      expect(fixture.eventLog.slice(3, 5)).toEqual(["10 Disconnected 1", "10 AttemptingToConnect"])
    }))

  it.scoped("D3: does not wait until a connection that is known to be closed has ended", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ retry: RetryPolicy.fixed("1 hour") }, ({ server }) => {
        server.closed = (line) => Effect.zipLeft(line.lost, sleep(30))
      })
      yield* settle
      fixture.server.line.drop()
      yield* pass(1)
      yield* drop(fixture)
      yield* settle
      expect([fixture.eventLog.at(-1), fixture.server.lines[0]!.released]).toEqual(["1 Connected 2", 1])
    }))

  it.scoped("D14: restarts the policy after a long-lived connection, and is not a step of the policy", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({
        retry: RetryPolicy.exponential({ base: "1 second", maxDelay: "1 hour", jitter: "none" })
      }, ({ server }) => server.refuse("no"))
      yield* pass(3)
      fixture.server.accept()
      yield* pass(97)
      fixture.server.refuse("no")
      yield* drop(fixture)
      yield* pass(3)
      expect(fixture.server.attempts).toEqual([0, 1, 3, 7, 100, 101, 103])
    }))

  it.scoped("without a connection makes the next attempt, and does not affect a running one", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ retry: RetryPolicy.fixed("1 hour") }, ({ server }) => server.refuse("no"))
      yield* pass(5)
      fixture.server.connect = () => sleep(5)
      yield* drop(fixture)
      yield* settle
      yield* drop(fixture)
      yield* pass(5)
      expect([fixture.server.attempts, fixture.eventLog.at(-1)]).toEqual([[0, 5], "10 Connected 1"])
    }))

  it.scoped("does not shorten the delay after the attempt that is under way", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({}, ({ server }) => {
        server.connect = () => Effect.zipRight(sleep(5), refuse("no"))
      })
      yield* pass(2)
      yield* drop(fixture)
      yield* pass(18)
      expect(fixture.server.attempts).toEqual([0, 10, 20])
    }))

  it.scoped("does nothing before the first attempt", () =>
    Effect.gen(function*() {
      const fixture = yield* makeFixture({ onEvent: on("AttemptingToConnect", () => sleep(5)) })
      yield* drop(fixture)
      yield* pass(1)
      yield* drop(fixture)
      yield* pass(4)
      expect(fixture.eventLog).toEqual(["0 AttemptingToConnect", "5 ObtainedAddress a", "5 Connected 1"])
    }))

  it.scoped("does not terminate a connection that has been lost, while its loss waits for a handler", () =>
    Effect.gen(function*() {
      const fixture = yield* makeRecordingFixture({ onEvent: on("Connected", () => sleep(5)) })
      yield* pass(1)
      fixture.server.line.drop()
      yield* pass(1)
      yield* drop(fixture)
      yield* pass(3)
      expect(fixture.ends).toEqual(["release 1"])
    }))

  it.scoped("needs no `terminate`", () =>
    Effect.gen(function*() {
      let opened = 0
      const service = yield* PersistentConnection.make({
        serverName: "test",
        address: Effect.succeed("a"),
        connector: Connector.make({ connect: () => Effect.sync(() => ++opened), closed: () => Effect.never })
      })
      yield* settle
      yield* drop({ service })
      yield* settle
      expect(opened).toBe(2)
    }))

  it.scoped("drops the last connection, and makes no further attempt (X4)", () =>
    Effect.gen(function*() {
      const fixture = yield* makeRecordingFixture()
      yield* fixture.service.closeWhenCurrentConnectionIsClosed
      yield* drop(fixture)
      yield* pass(10)
      expect([yield* stateTag(fixture), fixture.server.lines.length]).toEqual(["Closed", 1])
      expect(fixture.eventLog.at(-1)).toBe("0 Disconnected 1")
    }))

  it.scoped("does nothing during and after a close", () =>
    Effect.gen(function*() {
      const fixture = yield* makeRecordingFixture()
      const used = yield* askNow(use(fixture.service, () => Effect.as(sleep(5), "done")))
      yield* askNow(closeGracefully(fixture.service, "1 minute"))
      yield* drop(fixture)
      yield* pass(5)
      expect([used.answer, fixture.ends]).toEqual(["done", ["release 1"]])
      yield* drop(fixture)
      yield* pass(5)
      expect([yield* stateTag(fixture), fixture.server.attempts]).toEqual(["Closed", [0]])
    }))

  it.scoped("runs at every signal of `reconnectOn`", () =>
    Effect.gen(function*() {
      const fixture = yield* makeRecordingFixture()
      const signals = yield* Queue.unbounded<void>()
      yield* askNow(reconnectOn(fixture.service, Stream.fromQueue(signals), { whenConnected: "drop" }))
      for (let signal = 1; signal <= 3; signal++) {
        yield* Queue.offer(signals, undefined)
        yield* settle
      }
      expect(fixture.server.lines.map(({ released }) => released)).toEqual([1, 1, 1, 0])
    }))
})
