/**
 * A scenario as a test under `TestClock`, in TypeScript, with what the first client does as the expectation. It needs
 * `@persistent-connection/core`, `effect`, `vitest` and `@effect/vitest`.
 */
import {
  type Action,
  describeAction,
  initialWorld,
  nextWorld,
  type Scenario,
  type Settings,
  type WorldState
} from "./scenario.js"
import { encode } from "./scenarioText.js"
import { seedOf, simulate } from "./simulate.js"
import { dropped, killed, refused, roundTrip } from "./simulatedServer.js"

export const exportTest = (given: Scenario): string => {
  const scenario: Scenario = { ...given, settings: { ...given.settings, clients: 1 } }
  const has = (tag: Action["tag"]) => scenario.steps.some(({ action }) => action.tag === tag)
  const isOffline = has("offline") || has("online")
  const isSlow = has("slow")
  const isAnnounced = has("announce")
  const { healthCheck } = scenario.settings
  const outcome = simulate(scenario)

  return lines([
    "// Exported by the playground of persistent-connection, from the scenario",
    `// #${encode(scenario)}`,
    "import { expect, it } from \"@effect/vitest\"",
    "import * as ConnectionEvent from \"@persistent-connection/core/ConnectionEvent\"",
    "import * as Connector from \"@persistent-connection/core/Connector\"",
    "import * as PersistentConnection from \"@persistent-connection/core/PersistentConnection\"",
    "import * as RetryPolicy from \"@persistent-connection/core/RetryPolicy\"",
    "import * as Recorder from \"@persistent-connection/core/testing/Recorder\"",
    "import * as TestConnector from \"@persistent-connection/core/testing/TestConnector\"",
    has("kill") || has("drop") ? "import * as Cause from \"effect/Cause\"" : undefined,
    "import * as Data from \"effect/Data\"",
    isAnnounced ? "import * as Deferred from \"effect/Deferred\"" : undefined,
    "import * as Effect from \"effect/Effect\"",
    isAnnounced ? "import * as FiberId from \"effect/FiberId\"" : undefined,
    "import * as Random from \"effect/Random\"",
    "import * as TestClock from \"effect/TestClock\"",
    "",
    "class FeedError extends Data.TaggedError(\"FeedError\")<{ readonly reason: string }> {",
    "  override get message(): string {",
    "    return this.reason",
    "  }",
    "}",
    "",
    "interface Feed {",
    "  readonly ping: Effect.Effect<void>",
    isAnnounced ? "  readonly goingAway: Deferred.Deferred<void>" : undefined,
    "}",
    "",
    "it.scoped(\"behaves as in the playground\", () =>",
    "  Effect.gen(function*() {",
    isOffline ? "    let isOnline = true" : undefined,
    isSlow ? "    let latency = 0" : undefined,
    "    const server = yield* TestConnector.make<Feed, FeedError, string>({",
    "      connection: (line) => ({",
    isSlow
      ? "        ping: Effect.suspend(() => Effect.delay(line.ping, latency))" + (isAnnounced ? "," : "")
      : "        ping: line.ping" + (isAnnounced ? "," : ""),
    isAnnounced ? "        goingAway: Deferred.unsafeMake<void>(FiberId.none)" : undefined,
    "      }),",
    `      script: [${answerText(initialWorld)}]`,
    "    })",
    ...has("kill") || has("silence") || has("offline")
      ? [
        "    const whenOpen = (effect: Effect.Effect<void>) =>",
        "      Effect.flatMap(server.open, (open) => open.length > 0 ? effect : Effect.void)"
      ]
      : [],
    "    const feed = yield* PersistentConnection.make({",
    "      serverName: \"client 1\",",
    isOffline
      ? "      address: Effect.suspend(() => isOnline ? Effect.succeed(\"ws://feed.example.com\") : offline),"
      : "      address: Effect.succeed(\"ws://feed.example.com\"),",
    "      connector: server.connector.pipe(",
    `        Connector.connectTimeout(${duration(scenario.settings.connectTimeout)})${healthCheck ? "," : ""}`,
    ...healthCheck ? healthCheckText(scenario.settings) : [],
    "      ),",
    ...policyText(scenario.settings),
    "    })",
    "    const events = yield* Recorder.events(feed)",
    ...isAnnounced
      ? [
        "    yield* Effect.forkScoped(",
        "      PersistentConnection.refreshWhen(feed, ({ goingAway }) => Deferred.await(goingAway))",
        "    )"
      ]
      : [],
    ...stepsText(scenario),
    "",
    `    expect(yield* feed.state.get).toMatchObject({ _tag: "${outcome.phase}", generation: ${outcome.generation} })`,
    "    expect((yield* server.attempts).map(({ begunAt }) => Math.round(begunAt))).toEqual([",
    ...wrapped(outcome.attempts),
    "    ])",
    "    const lines = (yield* events.entries).map(({ at, value }) =>",
    "      `${Math.round(at)} ms  ${ConnectionEvent.message(value)}`",
    "    )",
    "    expect(lines).toEqual([",
    ...outcome.events.map((line, index, all) => `      ${JSON.stringify(line)}${index === all.length - 1 ? "" : ","}`),
    "    ])",
    `  }).pipe(Effect.withRandom(Random.make(${JSON.stringify(seedOf(1))}))))`,
    ...isOffline ? ["", "const offline = new FeedError({ reason: \"The network is down\" })"] : []
  ])
}

const lines = (all: ReadonlyArray<string | undefined>): string =>
  `${all.filter((line) => line !== undefined).join("\n")}\n`

const duration = (millis: number): string => millis % 1_000 === 0 ? `"${millis / 1_000} seconds"` : `"${millis} millis"`

const errorText = (reason: string): string => `new FeedError({ reason: ${JSON.stringify(reason)} })`

const answerText = ({ dropAfter, latency, server }: WorldState): string => {
  switch (server) {
    case "hanging":
      return "TestConnector.hang"
    case "down":
    case "refusing":
      return `TestConnector.fail(${errorText(refused)}).pipe(TestConnector.delayed(${duration(roundTrip)}))`
    case "up": {
      const delayed = `TestConnector.delayed(${duration(roundTrip + latency)})`
      return dropAfter === 0
        ? `TestConnector.succeed().pipe(${delayed})`
        : lines([
          "TestConnector.succeed().pipe(",
          `      ${delayed},`,
          `      TestConnector.thenLose({ after: ${duration(dropAfter)}, cause: Cause.fail(${errorText(dropped)}) })`,
          "    )"
        ]).trimEnd()
    }
  }
}

const healthCheckText = ({ interval, missedProbes, timeout }: Settings): ReadonlyArray<string> => [
  "        Connector.healthCheck({",
  "          probe: (feed: Feed) => feed.ping,",
  `          interval: ${duration(interval)},`,
  `          timeout: ${duration(timeout)},`,
  `          missedProbes: ${missedProbes}`,
  "        })"
]

const policyText = (settings: Settings): ReadonlyArray<string> => {
  const { base, delay, factor, jitter, maxDelay, minUptime, policy, reconnectJitter } = settings
  if (policy === "production") return ["      ...RetryPolicy.production"]
  if (policy === "standard") return ["      retry: RetryPolicy.standard"]
  return [
    policy === "exponential"
      ? lines([
        "      retry: RetryPolicy.exponential({",
        `        base: ${duration(base)},`,
        `        factor: ${factor},`,
        `        maxDelay: ${duration(maxDelay)},`,
        `        jitter: "${jitter}"`,
        "      }),"
      ]).trimEnd()
      : `      retry: RetryPolicy.fixed(${duration(policy === "fixed" ? delay : 0)}),`,
    `      minUptime: ${duration(minUptime)},`,
    `      reconnectJitter: ${duration(reconnectJitter)}`
  ]
}

const stepsText = ({ steps, until }: Scenario): ReadonlyArray<string> => {
  const text: Array<string> = []
  let time = 0
  let world = initialWorld
  const passTo = (at: number) => {
    if (at > time) text.push(`    yield* TestClock.adjust(${duration(at - time)})`)
    time = at
  }
  for (const [index, { action, at }] of steps.entries()) {
    text.push("")
    if (index > 0 && at === time) {
      text.push("    // Lets the clients notice the step before.", "    yield* TestClock.adjust(0)")
    }
    passTo(at)
    text.push(`    // ${describeAction(action)}.`)
    const next = nextWorld(world, action, at)
    if (answerText(next) !== answerText(world)) text.push(`    yield* server.always(${answerText(next)})`)
    world = next
    text.push(...actionText(action))
  }
  text.push("")
  passTo(until)
  return text
}

const actionText = ({ tag, value = 0 }: Action): ReadonlyArray<string> => {
  switch (tag) {
    case "kill":
      return [`    yield* whenOpen(server.lose(Cause.fail(${errorText(killed)})))`]
    case "silence":
      return ["    yield* whenOpen(server.fallSilent())"]
    case "offline":
      return ["    isOnline = false", "    yield* whenOpen(server.fallSilent())"]
    case "online":
      return [
        "    isOnline = true",
        "    yield* Effect.fork(PersistentConnection.reconnectNow(feed, { whenConnected: \"probe\" }))"
      ]
    case "announce":
      return [
        "    for (const { goingAway } of yield* server.open) yield* Deferred.succeed(goingAway, undefined)"
      ]
    case "close":
      return ["    yield* feed.close"]
    case "slow":
      return [`    latency = ${value}`]
    case "start":
    case "refuse":
    case "hang":
    case "drop":
      return []
  }
}

/** Numbers in rows of ten. */
const wrapped = (numbers: ReadonlyArray<number>): ReadonlyArray<string> =>
  Array.from({ length: Math.ceil(numbers.length / 10) }, (_, row) => {
    const part = numbers.slice(row * 10, row * 10 + 10).join(", ")
    return `      ${part}${row * 10 + 10 < numbers.length ? "," : ""}`
  })
