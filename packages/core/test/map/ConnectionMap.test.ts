import { expect } from "@effect/vitest"
import * as ConnectionMap from "@persistent-connection/core/ConnectionMap"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Schedule from "effect/Schedule"
import type * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import { SuspendableClock } from "../connector/PingServer.js"
import { objectsReachableFrom } from "../support/size.js"
import { it, pass, settle } from "../support/virtualTime.js"
import { connected, makeDevices } from "./devices.js"

it.scoped("a connection is made on first use and then shared", () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    const map = yield* ConnectionMap.make({ options })
    expect(yield* ConnectionMap.keys(map)).toEqual([])
    const one = yield* connected(map, "a")
    const same = yield* connected(map, "a")
    const other = yield* connected(map, "b")
    expect(same).toBe(one)
    expect(other).not.toBe(one)
    expect(devices.opened).toEqual(["a", "b"])
    expect((yield* ConnectionMap.keys(map)).sort()).toEqual(["a", "b"])
    expect(JSON.parse(JSON.stringify(map))).toEqual({ _id: "ConnectionMap", keys: ["a", "b"] })
  }))

it.scoped("concurrent first users of a key get the same connection", () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    const map = yield* ConnectionMap.make({ options })
    const found = yield* Effect.forEach(Array.from({ length: 100 }), () => connected(map, "a"), {
      concurrency: "unbounded"
    }).pipe(Effect.withMaxOpsBeforeYield(50))
    expect(new Set(found).size).toBe(1)
    expect(devices.opened).toEqual(["a"])
  }))

it.scoped("a connection is released with the scope of its last user, and the next user gets a new one", () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    const map = yield* ConnectionMap.make({ options })
    const [one, other] = [yield* Scope.make(), yield* Scope.make()]
    yield* Scope.extend(connected(map, "a"), one)
    yield* Scope.extend(connected(map, "a"), other)
    yield* Scope.close(one, Exit.void)
    expect(devices.released).toEqual([])
    yield* Scope.close(other, Exit.void)
    expect(devices.released).toEqual(["a"])
    expect(yield* ConnectionMap.keys(map)).toEqual([])
    yield* connected(map, "a")
    expect(devices.opened).toEqual(["a", "a"])
  }))

it.scoped("an idle connection is kept and reused, and released after idleTimeToLive", () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    const map = yield* ConnectionMap.make({ options, idleTimeToLive: "1 minute" })
    const first = yield* Effect.scoped(connected(map, "a"))
    yield* pass(59)
    expect(yield* Effect.scoped(connected(map, "a"))).toBe(first)
    yield* pass(59)
    expect(devices.released).toEqual([])
    yield* pass(1)
    expect(devices.released).toEqual(["a"])
    expect(yield* Effect.scoped(connected(map, "a"))).not.toBe(first)
  }))

for (const idleTimeToLive of [0, "1 minute"] as const) {
  it.scoped(`a connection that gave up is replaced at the next use, with idleTimeToLive ${idleTimeToLive}`, () =>
    Effect.gen(function*() {
      const { devices, options } = makeDevices()
      let isUp = false
      const address = (host: string) => Effect.suspend(() => isUp ? Effect.succeed(host) : Effect.fail("no such host"))
      const map = yield* ConnectionMap.make({
        options: (host: string) => ({ ...options(host), address: address(host), retry: Schedule.stop }),
        idleTimeToLive
      })
      const kept = yield* Scope.make()
      const old = yield* Scope.extend(ConnectionMap.get(map, "a"), kept)
      yield* settle
      expect((yield* old.state.get)._tag).toBe("Closed")
      isUp = true
      const found = yield* Effect.scoped(connected(map, "a"))
      expect(found).toEqual({ host: "a" })
      expect(yield* ConnectionMap.keys(map)).toEqual(idleTimeToLive === 0 ? [] : ["a"])
      yield* Scope.close(kept, Exit.void)
      expect(devices.opened).toEqual(["a"])
      yield* pass(60)
      expect(devices.released).toEqual(["a"])
    }))
}

it.scoped("a connection that a user closed is replaced at the next use, and its entry is closed", () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    const map = yield* ConnectionMap.make({ options, idleTimeToLive: "1 minute" })
    const old = yield* Effect.scoped(ConnectionMap.get(map, "a"))
    yield* old.connected
    devices.closeTakes = 5_000
    yield* Effect.fork(old.close)
    yield* settle
    expect(yield* connected(map, "a")).toEqual({ host: "a" })
    expect([devices.opened, devices.released]).toEqual([["a", "a"], []])
    yield* pass(5)
    expect(devices.released).toEqual(["a"])
    yield* pass(60)
    expect([devices.opened, devices.released]).toEqual([["a", "a"], ["a"]])
  }))

it.scoped("connections that gave up are not retained, although their users never leave", () =>
  Effect.gen(function*() {
    const { options } = makeDevices()
    const refused = { address: Effect.fail("no such host"), retry: Schedule.stop }
    const map = yield* ConnectionMap.make({ options: (host: string) => ({ ...options(host), ...refused }) })
    const use = Effect.zipRight(ConnectionMap.get(map, "a"), settle)
    yield* Effect.repeatN(use, 2)
    const before = objectsReachableFrom(map)
    yield* Effect.repeatN(use, 20)
    expect(objectsReachableFrom(map)).toBeLessThan(before + 20)
  }))

it.scoped("a connection that a user closes gracefully is replaced at once, and drained all the same", () =>
  Effect.gen(function*() {
    const { options } = makeDevices()
    const map = yield* ConnectionMap.make({ options })
    const old = yield* ConnectionMap.get(map, "a")
    yield* old.connected
    const use = yield* Effect.fork(PersistentConnection.use(old, () => Effect.sleep("5 seconds")))
    yield* settle
    yield* Effect.fork(PersistentConnection.closeGracefully(old, "1 minute"))
    yield* settle
    expect(yield* ConnectionMap.get(map, "a")).not.toBe(old)
    yield* pass(5)
    expect(yield* Effect.exit(Fiber.join(use))).toEqual(Exit.void)
  }))

it.scoped("after invalidate the next user gets a new connection; current users keep the old one", () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    const map = yield* ConnectionMap.make({ options, idleTimeToLive: "1 minute" })
    const scope = yield* Scope.make()
    const old = yield* Scope.extend(connected(map, "a"), scope)
    yield* ConnectionMap.invalidate(map, "a")
    expect(devices.released).toEqual([])
    expect(yield* connected(map, "a")).not.toBe(old)
    yield* Scope.close(scope, Exit.void)
    expect(devices.released).toEqual(["a"])
    expect(yield* ConnectionMap.keys(map)).toEqual(["a"])
    yield* ConnectionMap.invalidate(map, "unknown")
  }))

it.scoped("has its type id, and can be piped", () =>
  Effect.gen(function*() {
    const map = yield* ConnectionMap.make({ options: makeDevices().options })
    expect(Object.keys(map[ConnectionMap.TypeId]).sort()).toEqual(["_Connection", "_E", "_Key"])
    expect(yield* map.pipe(ConnectionMap.keys)).toEqual([])
  }))

it.scoped("a connection that takes some turns to make is waited for, by all its users", () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    const map = yield* Effect.withMaxOpsBeforeYield(ConnectionMap.make({ options }), 15)
    const users = yield* Effect.all([connected(map, "a"), connected(map, "a")], { concurrency: "unbounded" })
    expect(users).toEqual([{ host: "a" }, { host: "a" }])
    expect(devices.opened).toEqual(["a"])
  }))

/** Stops each fiber after this many operations, until it is released. */
class StoppingScheduler implements Scheduler.Scheduler {
  limit = Infinity
  private readonly stopped: Array<Scheduler.Task> = []

  constructor(private readonly base: Scheduler.Scheduler) {}

  shouldYield: Scheduler.Scheduler["shouldYield"] = (fiber) =>
    fiber.currentOpCount > this.limit ? 0 : this.base.shouldYield(fiber)

  scheduleTask: Scheduler.Scheduler["scheduleTask"] = (task, priority, fiber) => {
    if (this.limit === Infinity) this.base.scheduleTask(task, priority, fiber)
    else this.stopped.push(task)
  }

  release(): void {
    this.limit = Infinity
    for (const task of this.stopped.splice(0)) task()
  }
}

it.effect("the scope can be left while a connection is closed that is still being made", () =>
  Effect.gen(function*() {
    // With some of these limits, the making stops when it has just added its finalizer: then the close has to wait.
    for (let limit = 20; limit < 100; limit += 5) {
      const scheduler = new StoppingScheduler(yield* FiberRef.get(FiberRef.currentScheduler))
      const [scope, user] = [yield* Scope.make(), yield* Scope.make()]
      const map = yield* ConnectionMap.make(makeDevices()).pipe(Effect.withScheduler(scheduler), Scope.extend(scope))
      scheduler.limit = limit
      yield* Effect.fork(Scope.extend(ConnectionMap.get(map, "a"), user))
      yield* settle
      const closing = yield* Effect.fork(Scope.close(user, Exit.void))
      yield* settle
      const leaving = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* settle
      scheduler.release()
      yield* settle
      expect([closing.unsafePoll(), leaving.unsafePoll()], `${limit}`).toEqual([Exit.void, Exit.void])
    }
  }))

it.effect("leaving the scope closes all connections, also idle ones", () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    const scope = yield* Scope.make()
    const map = yield* Scope.extend(ConnectionMap.make({ options, idleTimeToLive: "1 minute" }), scope)
    yield* Effect.scoped(connected(map, "a"))
    yield* Scope.extend(connected(map, "b"), scope)
    yield* Scope.close(scope, Exit.void)
    expect(devices.released.sort()).toEqual(["a", "b"])
  }))

it.effect("leaving the scope closes all connections together, also those used in the same scope", () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    devices.closeTakes = 1_000
    const map = ConnectionMap.make({ options })
    const three = Effect.flatMap(map, (map) => Effect.forEach(["a", "b", "c"], (key) => connected(map, key)))
    yield* Effect.fork(Effect.scoped(three))
    yield* settle
    expect(devices.released).toEqual([])
    yield* pass(1)
    expect(devices.released.sort()).toEqual(["a", "b", "c"])
  }))

it.effect("without a map, a scope with parallel finalizers closes its connections together", () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    devices.closeTakes = 1_000
    const three = Effect.forEach(["a", "b", "c"], (host) => PersistentConnection.make(options(host)))
    yield* Effect.fork(Effect.scoped(Effect.parallelFinalizers(Effect.zipRight(three, Effect.sleep(1_000)))))
    yield* pass(1)
    expect(devices.released).toEqual([])
    yield* pass(1)
    expect(devices.released.sort()).toEqual(["a", "b", "c"])
  }))

it.scoped("maxConcurrentConnects limits the concurrent attempts, and the wait for a permit does not count against the deadline", () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    devices.takes = 20_000
    const map = yield* ConnectionMap.make({ options, maxConcurrentConnects: 2 })
    const all = yield* Effect.fork(
      Effect.forEach(["a", "b", "c", "d", "e", "f"], (key) => connected(map, key), { concurrency: "unbounded" })
    )
    // Three times 20 s, which is longer than the deadline of 30 s.
    yield* pass(61)
    expect((yield* Fiber.join(all)).map(({ host }) => host)).toEqual(["a", "b", "c", "d", "e", "f"])
    expect(devices.most).toBe(2)
    // Two at a time, in order. Of two that end at the same time, either may be the first.
    expect([0, 2, 4].map((from) => devices.opened.slice(from, from + 2).sort().join(""))).toEqual(["ab", "cd", "ef"])
  }))

it.scoped("a permit goes to the longest waiter, and an interrupted waiter takes none", () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    devices.takes = 10_000
    const map = yield* ConnectionMap.make({ options, maxConcurrentConnects: 1 })
    const scopes = new Map<string, Scope.CloseableScope>()
    for (const key of ["a", "b", "c", "d", "e"]) {
      const scope = yield* Scope.make()
      scopes.set(key, scope)
      yield* Scope.extend(ConnectionMap.get(map, key), scope)
      yield* pass(0.001)
    }
    const leave = (key: string) => Scope.close(scopes.get(key)!, Exit.void)
    // One waits for a permit, one connects.
    yield* leave("c")
    yield* pass(15)
    expect(devices.opened).toEqual(["a"])
    yield* leave("b")
    yield* pass(25)
    expect(devices.opened).toEqual(["a", "d", "e"])
    expect(yield* connected(map, "a")).toEqual({ host: "a" })
    expect(
      yield* Effect.fork(connected(map, "f")).pipe(
        Effect.zipLeft(pass(10)),
        Effect.flatMap(Fiber.join)
      )
    ).toEqual({ host: "f" })
    expect(devices.most).toBe(1)
  }))

it.scoped("each connection has its own idle time", () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    const map = yield* ConnectionMap.make({ options, idleTimeToLive: "1 minute" })
    yield* Effect.scoped(connected(map, "a"))
    yield* pass(20)
    yield* Effect.scoped(connected(map, "b"))
    yield* pass(20)
    yield* Effect.scoped(connected(map, "c"))
    yield* Effect.scoped(connected(map, "a"))
    yield* pass(40)
    expect(devices.released).toEqual(["b"])
    yield* pass(20)
    expect(devices.released.sort()).toEqual(["a", "b", "c"])
    yield* pass(3600)
    yield* Effect.scoped(connected(map, "d"))
    yield* pass(60)
    expect(devices.released).toContain("d")
  }))

it.scoped("after the idle time neither a timer nor an entry is left", () =>
  Effect.gen(function*() {
    const clock = new SuspendableClock(yield* Effect.clock)
    const { devices, options } = makeDevices()
    const map = yield* Effect.withClock(ConnectionMap.make({ options, idleTimeToLive: "1 minute" }), clock)
    expect(clock.sleepers).toBe(0)
    const use = (key: string) => Effect.scoped(connected(map, key))
    yield* use("a")
    yield* pass(60)
    expect([devices.released, yield* ConnectionMap.keys(map), clock.sleepers]).toEqual([["a"], [], 0])
    const before = objectsReachableFrom(map)
    for (let key = 0; key < 100; key++) {
      yield* use(`${key}`)
      if (key % 10 === 0) yield* ConnectionMap.invalidate(map, `${key}`)
    }
    yield* pass(60)
    expect([devices.released.length, yield* ConnectionMap.keys(map), clock.sleepers]).toEqual([101, [], 0])
    expect(objectsReachableFrom(map)).toBeLessThan(before + 20)
  }))

it.scoped("an idle connection that is used again is not closed, and leaves no timer", () =>
  Effect.gen(function*() {
    const clock = new SuspendableClock(yield* Effect.clock)
    const { devices, options } = makeDevices()
    const map = yield* Effect.withClock(ConnectionMap.make({ options, idleTimeToLive: "1 minute" }), clock)
    const scope = yield* Scope.make()
    yield* Effect.scoped(connected(map, "a"))
    yield* pass(30)
    yield* Scope.extend(connected(map, "a"), scope)
    yield* pass(30)
    expect([devices.released, clock.sleepers]).toEqual([[], 0])
    yield* pass(1_000)
    yield* Scope.close(scope, Exit.void)
    yield* pass(59)
    expect(devices.released).toEqual([])
    yield* pass(1)
    expect([devices.released, clock.sleepers]).toEqual([["a"], 0])
  }))

it.scoped("leaving the scope ends the idle timer", () =>
  Effect.gen(function*() {
    const clock = new SuspendableClock(yield* Effect.clock)
    const { options } = makeDevices()
    const scope = yield* Scope.make()
    const map = yield* ConnectionMap.make({ options, idleTimeToLive: "1 minute" }).pipe(
      Effect.withClock(clock),
      Scope.extend(scope)
    )
    yield* Effect.scoped(connected(map, "a"))
    yield* settle
    expect(clock.sleepers).toBe(1)
    yield* Scope.close(scope, Exit.void)
    expect(clock.sleepers).toBe(0)
  }))

it.scoped("invalidate waits for the close of the old connection; a new connection does not", () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    const map = yield* ConnectionMap.make({
      options: (key: string) => {
        const own = options(key)
        const connector = Connector.setup(
          own.connector,
          (device) =>
            Effect.as(Effect.addFinalizer(() => Effect.sleep(devices.released.length === 0 ? "5 seconds" : 0)), device)
        )
        return { ...own, connector }
      },
      idleTimeToLive: "1 minute"
    })
    const old = yield* Effect.scoped(connected(map, "a"))
    const invalidating = yield* Effect.fork(ConnectionMap.invalidate(map, "a"))
    yield* pass(4)
    expect(invalidating.unsafePoll()).toBeNull()
    expect(yield* connected(map, "a")).not.toBe(old)
    yield* pass(1)
    expect(invalidating.unsafePoll()).toEqual(Exit.void)
    expect(devices.released).toEqual(["a"])
    expect(yield* ConnectionMap.keys(map)).toEqual(["a"])
  }))

it.scoped("leaving the scope waits for a connection that is already being closed", () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    devices.closeTakes = 5_000
    const scope = yield* Scope.make()
    const map = yield* Scope.extend(ConnectionMap.make({ options, idleTimeToLive: "1 minute" }), scope)
    yield* Effect.scoped(connected(map, "a"))
    yield* Effect.fork(ConnectionMap.invalidate(map, "a"))
    yield* pass(1)
    const leaving = yield* Effect.fork(Scope.close(scope, Exit.void))
    yield* pass(3)
    expect(leaving.unsafePoll()).toBeNull()
    yield* pass(1)
    expect([leaving.unsafePoll(), devices.released]).toEqual([Exit.void, ["a"]])
  }))

it.scoped("the scope can be left from a connection that is being closed, and from one that is not", () =>
  Effect.gen(function*() {
    for (const isClosing of [true, false]) {
      const { devices, options } = makeDevices()
      const scope = yield* Scope.make()
      const leave = Scope.close(scope, Exit.void)
      const map = yield* Scope.extend(
        ConnectionMap.make({
          options: (key: string) => {
            const own = options(key)
            const connector = Connector.setup(
              own.connector,
              (device) => Effect.as(isClosing ? Effect.addFinalizer(() => leave) : Effect.forkDaemon(leave), device)
            )
            return { ...own, connector: key === "a" ? connector : own.connector }
          }
        }),
        scope
      )
      const user = yield* Scope.make()
      yield* Scope.extend(connected(map, "b"), user)
      yield* Scope.extend(ConnectionMap.get(map, "a"), user)
      yield* settle
      const closing = yield* Effect.fork(isClosing ? Scope.close(user, Exit.void) : leave)
      yield* settle
      expect([closing.unsafePoll(), devices.released.sort()]).toEqual([Exit.void, ["a", "b"]])
    }
  }))

it.scoped("a user that leaves after the map's scope was left leaves no timer behind", () =>
  Effect.gen(function*() {
    const clock = new SuspendableClock(yield* Effect.clock)
    const { devices, options } = makeDevices()
    const scope = yield* Scope.make()
    const map = yield* ConnectionMap.make({ options, idleTimeToLive: "1 minute" }).pipe(
      Effect.withClock(clock),
      Scope.extend(scope)
    )
    const user = yield* Scope.make()
    yield* Scope.extend(connected(map, "a"), user)
    yield* Scope.close(scope, Exit.void)
    yield* Scope.close(user, Exit.void)
    yield* settle
    expect([devices.released, clock.sleepers]).toEqual([["a"], 0])
  }))

it.scoped("connections with an idle time of one nanosecond are all closed", () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    const map = yield* ConnectionMap.make({ options, idleTimeToLive: "1 nanos" })
    for (const key of ["a", "b", "c"]) {
      yield* Effect.scoped(connected(map, key))
      yield* settle
    }
    expect(devices.released).toEqual(["a", "b", "c"])
  }))

it.scoped("with an infinite idle time, connections stay until the map's scope is left", () =>
  Effect.gen(function*() {
    const clock = new SuspendableClock(yield* Effect.clock)
    const { devices, options } = makeDevices()
    const scope = yield* Scope.make()
    const map = yield* ConnectionMap.make({ options, idleTimeToLive: Infinity }).pipe(
      Effect.withClock(clock),
      Scope.extend(scope)
    )
    yield* Effect.scoped(connected(map, "a"))
    yield* pass(100_000)
    expect([devices.released, clock.sleepers]).toEqual([[], 0])
    yield* Scope.close(scope, Exit.void)
    expect(devices.released).toEqual(["a"])
  }))

it.effect("after its scope was left, the map returns closed connections and opens none", () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    const map = yield* Effect.scoped(ConnectionMap.make({ options }))
    const scope = yield* Scope.make()
    const connection = yield* Scope.extend(ConnectionMap.get(map, "a"), scope)
    const exit = yield* Effect.exit(connection.connectedOrClosed)
    expect(String(exit)).toContain("ConnectionClosed")
    yield* pass(10)
    expect(devices.opened).toEqual([])
    expect(yield* ConnectionMap.keys(map)).toEqual([])
  }))

it.scoped("invalid options are a defect that names the option, of the map or of the key", () =>
  Effect.gen(function*() {
    const { options } = makeDevices()
    const bad = yield* Effect.exit(ConnectionMap.make({ options, maxConcurrentConnects: 0 }))
    expect(String(bad)).toContain("maxConcurrentConnects")
    const map = yield* ConnectionMap.make({ options })
    const nameless = yield* Effect.exit(ConnectionMap.get(map, ""))
    expect(String(nameless)).toContain("serverName")
    expect(yield* ConnectionMap.keys(map)).toEqual([])
  }))
