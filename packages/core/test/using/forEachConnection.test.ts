import { describe, expect } from "@effect/vitest"
import { ConnectionClosed } from "@persistent-connection/core/ConnectionError"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import {
  askNow,
  begin,
  hasEnded,
  inScope,
  type Life,
  type Line,
  pass,
  refuse,
  Refused,
  settle,
  sleep
} from "../support/Life.js"
import { it } from "../support/virtualTime.js"

const { forEachConnection, refresh } = PersistentConnection

/** A function for forEachConnection that records its runs. */
const visits = () => {
  const diary: Array<string> = []
  const say = (what: string) => Effect.sync(() => diary.push(what))
  const visit = (line: Line) => Effect.acquireRelease(say(`begin ${line.number}`), () => say(`end ${line.number}`))
  return { diary, say, visit }
}

describe("forEachConnection", () => {
  it.scoped("runs f on every connection, and closes its scope when the connection is lost", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      const { diary, visit } = visits()
      yield* askNow(forEachConnection(service, visit))
      yield* pass(60)
      expect(diary).toEqual(["begin 1"])
      server.refuse("no")
      server.line.drop()
      yield* settle
      expect(diary).toEqual(["begin 1", "end 1"])
      server.accept()
      yield* pass(10)
      expect(diary).toEqual(["begin 1", "end 1", "begin 2"])
    }))

  it.scoped("also runs on a connection that ends as soon as it is established", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      server.closed = () => Effect.void
      const { diary, visit } = visits()
      yield* askNow(forEachConnection(service, visit))
      yield* pass(10)
      expect(diary).toEqual(["begin 1", "end 1", "begin 2", "end 2"])
    }))

  it.scoped("interrupts f when the connection is lost", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* pass(60)
      const { diary, say, visit } = visits()
      yield* askNow(service.pipe(forEachConnection((line) =>
        visit(line).pipe(
          Effect.zipRight(Effect.never),
          Effect.onInterrupt(() => say(`interrupted ${line.number}`))
        )
      )))
      server.line.drop()
      yield* settle
      expect(diary).toEqual(["begin 1", "interrupted 1", "end 1", "begin 2"])
    }))

  it.scoped("moves on to the next connection at once when the current one is replaced", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* settle
      const { diary, visit } = visits()
      yield* askNow(forEachConnection(service, visit))
      const slow = yield* askNow(PersistentConnection.use(service, () => sleep(5)))
      yield* refresh(service)
      yield* settle
      expect(diary).toEqual(["begin 1", "end 1", "begin 2"])
      expect([slow.isWaiting, server.released]).toEqual([true, 0])
      yield* pass(5)
      expect(server.released).toBe(1)
    }))

  it.scoped("ends when the owner closes the persistent connection, and fails if it was aborted or gave up", () =>
    Effect.gen(function*() {
      const byOwner = yield* begin()
      const aborted = yield* begin()
      yield* settle
      const first = yield* askNow(forEachConnection(byOwner.service, () => Effect.never))
      const second = yield* askNow(forEachConnection(aborted.service, () => Effect.never))
      yield* byOwner.service.close
      yield* settle
      expect(first.exit).toEqual(Exit.void)
      yield* aborted.server.abort(new Refused({ text: "banned" }))
      yield* settle
      expect(second.isWaiting, "the last connection is still open").toBe(true)
      aborted.server.line.drop()
      yield* settle
      expect(second.error).toBeInstanceOf(ConnectionClosed)
      expect((second.error as ConnectionClosed<Refused>).reason._tag).toBe("Aborted")
      // Also if it was closed before the call.
      expect((yield* askNow(forEachConnection(byOwner.service, () => Effect.never))).exit).toEqual(Exit.void)
      expect((yield* askNow(forEachConnection(aborted.service, () => Effect.never))).exit?._tag).toBe("Failure")
    }))

  it.scoped("fails with the failure of f on an open connection, and closes the scope of f", () =>
    Effect.gen(function*() {
      const { service } = yield* begin()
      yield* settle
      const { diary, visit } = visits()
      const asked = yield* askNow(forEachConnection(service, (line) => Effect.zipRight(visit(line), refuse("full"))))
      expect(asked.failure).toBe("full")
      expect(diary).toEqual(["begin 1", "end 1"])
      const dead = yield* askNow(forEachConnection(service, (): Effect.Effect<void> => {
        throw new Error("bug")
      }))
      expect(dead.failure).toBe("bug!")
      const interrupted = yield* askNow(forEachConnection(service, () => Effect.interrupt))
      expect(interrupted.failure).toBe("The code interrupted itself!")
    }))

  it.scoped("continues if the loss causes the failure of f, but not after a defect", () =>
    Effect.gen(function*() {
      const { service } = yield* begin()
      yield* pass(60)
      const { diary, visit } = visits()
      const broken = (line: Line) => Effect.zipRight(Effect.sync(() => line.drop()), refuse("broken pipe"))
      const asked = yield* askNow(
        forEachConnection(
          service,
          (line) => Effect.zipRight(visit(line), line.number === 1 ? broken(line) : Effect.void)
        )
      )
      expect(asked.isWaiting).toBe(true)
      expect(diary).toEqual(["begin 1", "end 1", "begin 2"])
      yield* pass(60)
      const dead = yield* askNow(
        forEachConnection(service, (line) => Effect.zipRight(Effect.sync(() => line.drop()), Effect.die("bug")))
      )
      expect(dead.failure).toBe("bug!")
    }))

  it.scoped("reports a defect in the clean-up of f", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* pass(60)
      const asked = yield* askNow(
        forEachConnection(service, () => Effect.addFinalizer(() => Effect.die("clean-up")))
      )
      server.line.drop()
      yield* settle
      expect(asked.failure).toBe("clean-up!")
    }))

  it.scoped("starts on the next connection after the clean-up of f has ended, which delays nothing else", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* pass(60)
      const { diary, visit } = visits()
      yield* askNow(
        forEachConnection(service, (line) => Effect.zipRight(visit(line), Effect.addFinalizer(() => sleep(5))))
      )
      server.line.drop()
      yield* settle
      expect(yield* PersistentConnection.use(service, (line) => Effect.succeed(line.number))).toBe(2)
      expect(diary).toEqual(["begin 1"])
      yield* pass(5)
      expect(diary).toEqual(["begin 1", "end 1", "begin 2"])
    }))

  it.scoped("can be interrupted, together with f", () =>
    Effect.gen(function*() {
      const { service } = yield* begin()
      yield* settle
      const { diary, visit } = visits()
      const asked = yield* askNow(forEachConnection(service, visit))
      yield* Fiber.interrupt(asked.fiber)
      expect(asked.failure).toBe("interrupted")
      expect(diary).toEqual(["begin 1", "end 1"])
    }))

  it.scoped("moves on to the next connection also in an uninterruptible caller", () =>
    Effect.gen(function*() {
      const { server, service } = yield* begin()
      yield* pass(60)
      const { diary, visit } = visits()
      yield* askNow(Effect.uninterruptible(forEachConnection(service, visit)))
      server.line.drop()
      yield* settle
      expect(diary).toEqual(["begin 1", "end 1", "begin 2"])
      yield* service.close
      yield* settle
      expect(diary.at(-1)).toBe("end 2")
    }))

  it.scoped("D7a: the loop does not wait for a handler that runs it, even if it always finds a connection", () =>
    Effect.gen(function*() {
      const { diary: visited, visit } = visits()
      const life: Life = yield* begin({
        onEvent: (event) =>
          event._tag === "Connected" && event.generation === 1
            ? Effect.ignore(Effect.suspend(() => forEachConnection(life.service, visit)))
            : Effect.void
      })
      yield* settle
      yield* refresh(life.service)
      yield* settle
      expect(visited).toEqual(["begin 1", "end 1", "begin 2"])
      expect(life.diary.at(-1)).toBe("0 Connected 2")
    }))

  it.scoped("D8: has ended completely after the scope of the persistent connection was left", () =>
    Effect.gen(function*() {
      const [{ service }, scope] = yield* inScope(begin())
      const { diary, visit } = visits()
      const asked = yield* askNow(forEachConnection(service, visit))
      expect(yield* hasEnded(scope)).toBe(true)
      expect(asked.exit).toEqual(Exit.void)
      expect(diary).toEqual(["begin 1", "end 1"])
    }))
})
