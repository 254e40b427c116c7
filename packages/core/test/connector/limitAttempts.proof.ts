import { describe, expect, it } from "@effect/vitest"
import * as Connector from "@persistent-connection/core/Connector"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import { makeAttempt } from "../support/attempt.js"
import { cases } from "../support/proof.js"

/** A scheduler that counts its tasks and runs them only on demand. */
class Tasks {
  count = 0
  private readonly ready: Array<() => void> = []
  readonly scheduler = Scheduler.make((task) => void this.ready.push(task))

  run(): void {
    for (let next = 0; next < this.ready.length; next++) {
      this.count++
      this.ready[next]!()
    }
    this.ready.length = 0
  }
}

const permits = 20

/** Concurrent attempts that wait for a permit. Every tenth one is interrupted while it waits. */
const compete = (waiters: number) => {
  const tasks = new Tasks()
  const order: Array<number> = []
  let underWay = 0
  let most = 0
  const connector = Connector.limitAttempts(
    Connector.make({
      connect: (number: string) =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            order.push(Number(number))
            most = Math.max(most, ++underWay)
          }),
          () => Effect.repeatN(Effect.yieldNow(), 3),
          () => Effect.sync(() => underWay--)
        ),
      closed: () => Effect.never
    }),
    Connector.makeAttemptLimiter(permits)
  )
  const attempts = Array.from(
    { length: waiters },
    (_, number) =>
      Effect.runFork(Effect.scoped(connector.connect(`${number}`, makeAttempt())), { scheduler: tasks.scheduler })
  )
  const given = attempts.filter((_, number) => number >= permits && number % 10 === 9)
  Effect.runFork(Fiber.interruptAll(given), { scheduler: tasks.scheduler })
  tasks.run()
  return { order, most, exits: attempts.map((attempt) => attempt.unsafePoll()), tasks: tasks.count }
}

describe("limitAttempts", () => {
  const waiters = cases(1_000, 10_000)

  it(`serves ${waiters} waiting attempts in order, and skips interrupted ones`, () => {
    const { exits, most, order } = compete(waiters)
    const isGiven = (number: number) => number >= permits && number % 10 === 9
    expect(order).toEqual(Array.from({ length: waiters }, (_, number) => number).filter((number) => !isGiven(number)))
    expect(most).toBe(permits)
    expect(exits.every((exit, number) => exit !== null && Exit.isSuccess(exit) !== isGiven(number))).toBe(true)
  })

  it(`the cost per waiting attempt is the same for ${waiters} attempts and for a tenth of them`, () => {
    const [few, many] = [compete(waiters / 10), compete(waiters)]
    expect(many.tasks / waiters).toBeLessThan(1.2 * few.tasks / (waiters / 10))
  })
})
