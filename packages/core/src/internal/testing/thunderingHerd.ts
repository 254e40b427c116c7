import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Connector from "../../Connector.js"
import * as PersistentConnection from "../../PersistentConnection.js"
import type { Excess, Peak, Run, Scenario, Simulation } from "../../testing/ThunderingHerd.js"
import * as option from "../base/options.js"
import { never } from "../base/time.js"
import { retryReaders } from "../loop/service.js"
import { asCause } from "./testAnswer.js"
import { inVirtualTime } from "./virtualClock.js"

/** @internal */
export const simulate = <E, R>(scenario: Scenario<E, R>): Effect.Effect<Simulation, never, R> =>
  Effect.suspend(() => {
    const { clients = 200, outage, seeds = [1, 2, 3], uptime, ...rest } = option.read(scenario, readers)
    const plan = { ...rest, clients, uptime: Duration.toMillis(uptime), outage: Duration.toMillis(outage) }
    return Effect.map(
      Effect.forEach(seeds, (seed) => inVirtualTime(Effect.withTracerEnabled(Effect.scoped(run(plan, seed)), false))),
      (runs) => ({ clients, runs })
    )
  })

const readers = {
  ...retryReaders,
  clients: option.optional(option.count),
  seeds: option.optional(option.nonEmptyArray),
  uptime: option.withDefault(option.finite, "1 hour"),
  outage: option.withDefault(option.finite, 0),
  failure: option.optional(asCause)
}

interface Plan<E, R> extends Scenario<E, R> {
  readonly clients: number
  readonly uptime: number
  readonly outage: number
}

interface Line {
  readonly isFirst: boolean
}

const serverDown = Cause.die(new Cause.RuntimeException("The server is down"))

const run = <E, R>(
  { clients, failure = serverDown, outage, retry, reconnectJitter, minUptime, uptime }: Plan<E, R>,
  seed: Run["seed"]
): Effect.Effect<Run, never, R | Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const sinceLoss = () => clock.unsafeCurrentTimeMillis() - uptime
    const loss = yield* Deferred.make<void>()
    let isLost = false
    const attempts: Array<number> = []
    const reconnects: Array<number> = []

    const connector = Connector.make<void, Line, E>({
      connect: (_, { generation }) =>
        Effect.suspend((): Effect.Effect<Line, E> => {
          if (generation === 1) return Effect.succeed({ isFirst: true })
          attempts.push(sinceLoss())
          if (sinceLoss() < outage) return Effect.failCause(failure)
          reconnects.push(sinceLoss())
          return Effect.succeed({ isFirst: false })
        }),
      closed: ({ isFirst }) => isFirst ? Deferred.await(loss) : never,
      isClosed: ({ isFirst }) => isFirst && isLost
    })
    const fleet = yield* Effect.forEach(Arr.range(1, clients), (client) =>
      PersistentConnection.make({
        serverName: "simulation",
        address: Effect.void,
        connector,
        retry,
        reconnectJitter,
        minUptime,
        attemptTimeout: Duration.infinity
      }).pipe(
        // A separate random generator, so that the delays of a client do not depend on the number of clients.
        Effect.withRandom(Random.make(`${seed}/${client}`)),
        // No log, because a client that gives up is a valid result.
        Logger.withMinimumLogLevel(LogLevel.None)
      ))
    yield* Effect.sleep(uptime)
    isLost = true
    yield* Deferred.succeed(loss, undefined)
    // `Effect.exit`, because a client whose policy gives up fails here.
    yield* Effect.forEach(fleet, (client) => Effect.exit(client.connectedOrClosed), { concurrency: "unbounded" })
    return { seed, attempts, reconnects }
  })

/** @internal */
export const peak = (self: Simulation, window: Duration.DurationInput): Peak => {
  const length = Duration.toMillis(option.finite("window", window))
  return self.runs
    .map((run) => fullest(run, length, self.clients))
    .reduce((worst, peak) => peak.attempts > worst.attempts ? peak : worst)
}

/** The window with the most attempts. Only windows that begin with an attempt need a check. */
const fullest = ({ attempts, seed }: Run, length: number, clients: number): Peak => {
  let from = 0
  let most = 0
  let end = 0
  attempts.forEach((at, index) => {
    while (end < attempts.length && attempts[end]! < at + length) end++
    if (end - index <= most) return
    most = end - index
    from = at
  })
  return { seed, from, attempts: most, share: most / clients }
}

/** @internal */
export const check = (
  self: Simulation,
  options: { readonly window: Duration.DurationInput; readonly atMost: number }
): Effect.Effect<void, Excess> =>
  Effect.suspend(() => {
    const { atMost, window } = option.read(options, checkReaders)
    const worst = peak(self, window)
    return worst.share <= atMost
      ? Effect.void
      : Effect.fail({ ...worst, clients: self.clients, window, atMost })
  })

const checkReaders = {
  window: option.finite,
  atMost: option.value("a number of 0 or more", (input) => Predicate.isNumber(input) && input >= 0)
}

/** @internal */
export const describe = ({ atMost, attempts, clients, from, seed, share, window }: Excess): string =>
  `${attempts} attempts of ${clients} clients (${percent(share)}) within ${Duration.format(window)}, starting ` +
  `${Math.round(from)} ms after the loss (seed ${seed}); the limit is ${percent(atMost)}`

const percent = (share: number): string => `${Math.round(share * 1000) / 10} %`
