import { describe, expect, it } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { cases, turn } from "../support/proof.js"
import { Refused } from "../support/refused.js"
import { heapUsed, objectsReachableFrom } from "../support/size.js"
import { tick } from "./Scenario.js"
import { World } from "./World.js"

interface Options {
  /** True if attempts succeed. Each connection lives for half a tick. */
  readonly succeeds: boolean
  /** True to add a deadline, a handler, and a user that waits for results and subscribes briefly. */
  readonly isBusy: boolean
  /** True to add permanent subscribers of the events, the states and the current connection. */
  readonly isFollowed?: true
}

/** Makes a persistent connection with one attempt per tick. */
const start = ({ isBusy, isFollowed, succeeds }: Options) => {
  const world = new World()
  const count = { opened: 0, released: 0, events: 0, results: 0, followed: 0 }
  const scope = Effect.runSync(Scope.make())
  const open = Effect.acquireRelease(
    Effect.sync(() => ({ number: ++count.opened })),
    () => Effect.sync(() => count.released++)
  )
  const failure = new Refused({ text: "always the same" })
  const fail = Effect.suspend(() => Effect.fail(isBusy ? new Refused({ text: `failure ${count.opened}` }) : failure))
  const made = world.run(world.watched(Scope.extend(
    PersistentConnection.make({
      serverName: "leaks",
      address: Effect.sync(() => isBusy ? `address ${count.opened}` : ""),
      connector: Connector.make({
        connect: () => succeeds ? open : Effect.zipRight(open, fail),
        closed: () => Effect.sleep(tick / 2)
      }),
      retry: RetryPolicy.fixed(tick),
      ...(isBusy ? { onEvent: () => Effect.sync(() => count.events++) } : { attemptTimeout: Infinity })
    }),
    scope
  ))).unsafePoll()
  if (made === null || Exit.isFailure(made)) throw new Error("make did not complete at once")
  const service = made.value
  const result = Effect.map(Effect.exit(service.connectedOrFailedToConnect), () => count.results++)
  const user = Effect.zipRight(Effect.scoped(service.subscribe), Effect.zipRight(result, Effect.sleep(9.75 * tick)))
  if (isBusy) world.run(Effect.forever(user))
  if (isFollowed) {
    const { current, events, state, subscribe } = service
    const seen = Effect.sync(() => count.followed++)
    const taking = Effect.flatMap(subscribe, (queue) => Effect.forever(Effect.zipRight(Queue.take(queue), seen)))
    const streams: ReadonlyArray<Stream.Stream<unknown>> = [events, state.changes, current.changes]
    for (const stream of streams) world.run(Stream.runForEach(stream, () => seen))
    world.run(Effect.scoped(taking))
    world.run(Effect.scoped(Effect.zipRight(subscribe, Effect.never)))
  }
  const measure = () => {
    // Drops the failures recorded by the test, which the persistent connection does not retain.
    world.failures.length = 0
    return { fibers: world.fibers.size, sleepers: world.sleepers, timers: world.timers }
  }
  return { world, count, service, scope, measure }
}

describe("memory, fibers and timers do not grow", () => {
  it.each(
    [
      [cases(3_000, 100_000), "attempts that fail", { succeeds: false, isBusy: false }],
      [cases(1_000, 100_000), "attempts that fail, with permanent subscribers", {
        succeeds: false,
        isBusy: false,
        isFollowed: true
      }],
      [cases(300, 3_000), "attempts that fail, with a deadline, a handler and users", {
        succeeds: false,
        isBusy: true
      }],
      [cases(1_000, 10_000), "connections that are lost, with a deadline, a handler and users", {
        succeeds: true,
        isBusy: true
      }]
    ] as const
  )("in %i %s", async (total, what, options) => {
    const { count, measure, scope, service, world } = start(options)
    const attempt = async (times: number) => {
      for (let done = 0; done < times; done += 100, await turn()) world.advance(Math.min(100, times - done) * tick)
    }
    await attempt(total / 10)
    const before = { ...measure(), objects: objectsReachableFrom(service), heap: heapUsed() }
    const began = performance.now()
    await attempt(total * 0.9)
    const seconds = (performance.now() - began) / 1_000
    // oxlint-disable-next-line no-console -- Information for the reader of the output. Nothing is asserted about real time.
    console.log(`${Math.round(total * 0.9 / seconds).toLocaleString("en")} a second of ${total} ${what}`)
    const after = { ...measure(), objects: objectsReachableFrom(service), heap: heapUsed() }

    expect(count.opened).toBe(total + 1)
    expect(count.opened - count.released).toBeLessThanOrEqual(1)
    expect(count.events).toBeGreaterThanOrEqual(options.isBusy ? 2 * total : 0)
    expect(count.followed).toBeGreaterThanOrEqual("isFollowed" in options ? 2 * total : 0)
    expect(count.results).toBeGreaterThanOrEqual(options.isBusy ? total / 20 : 0)
    expect([after.fibers, after.sleepers, after.timers]).toEqual([before.fibers, before.sleepers, before.timers])
    expect(after.objects).toBeLessThan(before.objects + 20)
    expect(after.heap).toBeLessThan(before.heap + 1_000_000)

    world.run(Scope.close(scope, Exit.void))
    world.flush()
    expect(count.released).toBe(count.opened)
    expect(world.fibers.size).toBe(0)
  })
})
