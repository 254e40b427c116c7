/** `reconnectNow` with `whenConnected: "drop"`: break before make. */
import { describe, expect } from "@effect/vitest"
import { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { askNow, begin, type Life, on, type Options, pass, Refused, settle, sleep, stateTag } from "../support/Life.js"
import { it } from "../support/virtualTime.js"

const { closeGracefully, reconnectNow, reconnectOn, use } = PersistentConnection

const drop = ({ service }: { readonly service: PersistentConnection.PersistentConnection<unknown, unknown> }) =>
  reconnectNow(service, { whenConnected: "drop" })

/** A life with an hour between attempts, of which it is written down how its connections end. */
const written = (options: Options = {}) =>
  Effect.gen(function*() {
    const ends: Array<string> = []
    const write = (what: string) => Effect.sync(() => void ends.push(what))
    const life: Life = yield* begin({ retry: RetryPolicy.fixed("1 hour"), ...options }, ({ server }) => {
      server.terminate = ({ number }) => write(`terminate ${number}`)
      server.release = ({ number }) => write(`release ${number}`)
    })
    yield* settle
    return { ...life, ends }
  })

describe("reconnectNow that drops the connection", () => {
  it.scoped("reports the loss, and makes the next attempt at once", () =>
    Effect.gen(function*() {
      const life = yield* written()
      yield* pass(5)
      yield* drop(life)
      yield* settle
      expect(life.diary.slice(2)).toEqual([
        "0 Connected 1",
        "5 Disconnected 1",
        "5 AttemptingToConnect",
        "5 ObtainedAddress a",
        "5 Connected 2"
      ])
    }))

  it.scoped("does so also if the peer hangs up before the loss has been reported", () =>
    Effect.gen(function*() {
      const onEvent = on("Connected", (event) => sleep("generation" in event && event.generation === 1 ? 5 : 0))
      const life = yield* written({ onEvent })
      yield* askNow(drop(life))
      yield* pass(1)
      life.server.line.drop(Exit.fail(new Refused({ text: "reset" })))
      yield* pass(4)
      expect(life.diary.slice(3)).toEqual([
        "5 Disconnected 1",
        "5 AttemptingToConnect",
        "5 ObtainedAddress a",
        "5 Connected 2"
      ])
    }))

  it.scoped("terminates the connection before it is released, and nothing else", () =>
    Effect.gen(function*() {
      const life = yield* written()
      yield* drop(life)
      yield* settle
      expect(life.ends).toEqual(["terminate 1", "release 1"])
      yield* life.service.close
      expect(life.ends).toEqual(["terminate 1", "release 1", "release 2"])
    }))

  it.scoped("is not delayed by a release that hangs, nor by a `terminate` that does", () =>
    Effect.gen(function*() {
      const life = yield* written({ closeTimeout: "1 minute" })
      life.server.release = ({ number }) => number === 1 ? Effect.never : Effect.void
      life.server.terminate = () => sleep(30)
      const dropping = yield* askNow(drop(life))
      expect(life.diary.at(-1)).toBe("0 Connected 2")
      expect(dropping.isWaiting).toBe(true)
      yield* pass(30)
      expect(dropping.exit).toEqual(Exit.void)
    }))

  it.scoped("ends what is done with the connection with the loss of it", () =>
    Effect.gen(function*() {
      const life = yield* written()
      const used = yield* askNow(use(life.service, () => Effect.never))
      yield* drop(life)
      yield* settle
      expect(used.error).toBeInstanceOf(ConnectionLost)
      expect((used.error as ConnectionLost).generation).toBe(1)
    }))

  it.scoped("can be called from inside a use, which it ends", () =>
    Effect.gen(function*() {
      const life = yield* written()
      const used = yield* askNow(use(life.service, () => Effect.zipRight(sleep(1), drop(life))))
      yield* pass(1)
      expect(used.error).toBeInstanceOf(ConnectionLost)
      expect(life.ends).toEqual(["terminate 1", "release 1"])
      expect(life.diary.at(-1)).toBe("1 Connected 2")
    }))

  it.scoped("A4, E1: nobody gets the connection any more, though its Connected handler holds up the report", () =>
    Effect.gen(function*() {
      const life = yield* written({ onEvent: on("Connected", () => sleep(10)) })
      yield* drop(life)
      const asked = yield* askNow(life.service.connected)
      yield* pass(9)
      expect([asked.isWaiting, life.diary.at(-1)]).toEqual([true, "0 Connected 1"])
      yield* pass(1)
      expect(asked.answer).toBe(life.server.lines[1])
      expect(life.diary.slice(3, 5)).toEqual(["10 Disconnected 1", "10 AttemptingToConnect"])
    }))

  it.scoped("D3: does not wait until a connection that is known to be closed has ended", () =>
    Effect.gen(function*() {
      const life = yield* begin({ retry: RetryPolicy.fixed("1 hour") }, ({ server }) => {
        server.closed = (line) => Effect.zipLeft(line.lost, sleep(30))
      })
      yield* settle
      life.server.line.drop()
      yield* pass(1)
      yield* drop(life)
      yield* settle
      expect([life.diary.at(-1), life.server.lines[0]!.released]).toEqual(["1 Connected 2", 1])
    }))

  it.scoped("D14: restarts the policy after a success, and is no step of it", () =>
    Effect.gen(function*() {
      const life = yield* begin({
        retry: RetryPolicy.exponential({ base: "1 second", maxDelay: "1 hour", jitter: "none" })
      }, ({ server }) => server.refuse("no"))
      yield* pass(3)
      life.server.accept()
      yield* pass(97)
      life.server.refuse("no")
      yield* drop(life)
      yield* pass(3)
      expect(life.server.attempts).toEqual([0, 1, 3, 7, 100, 101, 103])
    }))

  it.scoped("while there is no connection makes the next attempt, and leaves one under way alone", () =>
    Effect.gen(function*() {
      const life = yield* begin({ retry: RetryPolicy.fixed("1 hour") }, ({ server }) => server.refuse("no"))
      yield* pass(5)
      life.server.connect = () => sleep(5)
      yield* drop(life)
      yield* settle
      yield* drop(life)
      yield* pass(5)
      expect([life.server.attempts, life.diary.at(-1)]).toEqual([[0, 5], "10 Connected 1"])
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

  it.scoped("drops the last connection, and makes no other attempt (X4)", () =>
    Effect.gen(function*() {
      const life = yield* written()
      yield* life.service.closeWhenCurrentConnectionIsClosed
      yield* drop(life)
      yield* pass(10)
      expect([yield* stateTag(life), life.server.lines.length]).toEqual(["Closed", 1])
      expect(life.diary.at(-1)).toBe("0 Disconnected 1")
    }))

  it.scoped("does nothing while closing, and once closed", () =>
    Effect.gen(function*() {
      const life = yield* written()
      const used = yield* askNow(use(life.service, () => Effect.as(sleep(5), "done")))
      yield* askNow(closeGracefully(life.service, "1 minute"))
      yield* drop(life)
      yield* pass(5)
      expect([used.answer, life.ends]).toEqual(["done", ["release 1"]])
      yield* drop(life)
      yield* pass(5)
      expect([yield* stateTag(life), life.server.attempts]).toEqual(["Closed", [0]])
    }))

  it.scoped("at every signal of `reconnectOn`", () =>
    Effect.gen(function*() {
      const life = yield* written()
      const signals = yield* Queue.unbounded<void>()
      yield* askNow(reconnectOn(life.service, Stream.fromQueue(signals), { whenConnected: "drop" }))
      for (let signal = 1; signal <= 3; signal++) {
        yield* Queue.offer(signals, undefined)
        yield* settle
      }
      expect(life.server.lines.map(({ released }) => released)).toEqual([1, 1, 1, 0])
    }))
})
