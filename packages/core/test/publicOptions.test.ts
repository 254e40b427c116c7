import { expect, it } from "@effect/vitest"
import * as Addresses from "@persistent-connection/core/Addresses"
import * as ConnectionError from "@persistent-connection/core/ConnectionError"
import * as ConnectionEvent from "@persistent-connection/core/ConnectionEvent"
import * as ConnectionLog from "@persistent-connection/core/ConnectionLog"
import * as ConnectionMap from "@persistent-connection/core/ConnectionMap"
import * as ConnectionMetrics from "@persistent-connection/core/ConnectionMetrics"
import * as ConnectionState from "@persistent-connection/core/ConnectionState"
import * as ConnectionStatus from "@persistent-connection/core/ConnectionStatus"
import * as Connector from "@persistent-connection/core/Connector"
import * as Inspect from "@persistent-connection/core/Inspect"
import * as Options from "@persistent-connection/core/Options"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Recorder from "@persistent-connection/core/testing/Recorder"
import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
import * as ThunderingHerd from "@persistent-connection/core/testing/ThunderingHerd"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { readdirSync } from "node:fs"
import { argument, built, kinds, maybe, only, optionsOf, type Rows, tryWrongOptions } from "./support/wrongOptions.js"

interface Line {
  readonly number: number
}
type Feed = PersistentConnection.PersistentConnection<Line>

const connector = Connector.make({
  connect: (_: string) => Effect.succeed<Line>({ number: 1 }),
  closed: (_: Line) => Effect.never
})
const connectors = only(connector)
const good = { serverName: "feed", address: Effect.succeed("a"), connector }

/** A closed persistent connection, on which no option has an effect. */
const feed: Feed = await Effect.runPromise(Effect.gen(function*() {
  const scope = yield* Scope.make()
  const feed = yield* Scope.extend(PersistentConnection.make(good), scope)
  yield* Scope.close(scope, Exit.void)
  return feed
}))
const feeds = only(feed)

const map = await Effect.runPromise(Effect.scoped(ConnectionMap.make({ options: (_: string) => good })))
const maps = only(map)

class Tag extends Context.Tag("Feed")<Tag, Feed>() {}

const asConnector = (value: unknown) => value as typeof connector
const asFeed = (value: unknown) => value as Feed
const lookUps = {
  takes: (value: unknown) => typeof value === "function" || Effect.isEffect(value),
  right: [Effect.succeed("b"), () => Effect.succeed("b")]
}
const jitters = {
  takes: (value: unknown) =>
    ["full", "equal", "decorrelated", "none"].includes(value as string) ||
    typeof value === "number" && value >= 0 && value <= 1,
  right: ["full", "equal", "decorrelated", "none", 0, 0.5, 1]
}
const answer = TestConnector.succeed()
const answers = only(answer, TestConnector.hang)
const scripts = {
  takes: (value: unknown) => Array.isArray(value) && value.length === 0,
  right: [[], [answer], [answer, TestConnector.hang]]
}
const simulation: ThunderingHerd.Simulation = { clients: 1, runs: [{ seed: 1, attempts: [], reconnects: [] }] }

type MakeOptions = PersistentConnection.Options<string, Line>
const retryKinds = { retry: maybe(kinds.schedule), minUptime: "duration?", reconnectJitter: "finite?" } as const
const makeOptions = (give: (options: MakeOptions) => unknown): Rows =>
  optionsOf<MakeOptions>(
    {
      ...retryKinds,
      serverName: "nonEmptyText",
      address: lookUps,
      connector: connectors,
      attemptTimeout: "positive?",
      closeTimeout: "duration?",
      slowHandlerThreshold: "duration?",
      onEvent: "func?",
      maxUndelivered: "limit?",
      addressEquivalence: "func?",
      errorEquivalence: "func?"
    },
    good,
    give
  )

/** The rows of a combinator that takes a connector and a function. */
const combinator = <F>(name: string, give: (self: typeof connector, f: F) => unknown, f: F): Rows => [
  ...argument("self", connectors, (value) => give(asConnector(value), f)),
  ...argument(name, "func", (value) => give(connector, value))
]

type HealthCheckOptions = Connector.HealthCheckOptions<Line>
const healthCheckKinds = {
  probe: "func",
  interval: "positive",
  timeout: "positive",
  missedProbes: "count?",
  activity: "func?"
} as const
const healthCheck: HealthCheckOptions = { probe: () => Effect.void, interval: 1, timeout: 1 }

type ConnectorOptions = Parameters<typeof Connector.make<string, Line>>[0]
const connectorOptions = { connect: () => Effect.succeed({ number: 1 }), closed: () => Effect.never }

type ResumeOptions = PersistentConnection.ResumeOptions<Line, number, number, never, never, never, never>

const table: Record<string, Rows> = {
  "Addresses.roundRobin": argument("addresses", "nonEmptyArray", Addresses.roundRobin),
  "Addresses.shuffled": argument("addresses", "nonEmptyArray", Addresses.shuffled),
  "Addresses.failover": [
    ...argument("addresses", "nonEmptyArray", (addresses) => Addresses.failover(addresses)),
    ...optionsOf<Addresses.FailoverOptions>(
      { failBackAfter: "duration?", failoverWhen: "func?" },
      {},
      (options) => Addresses.failover(["a"], options)
    )
  ],
  "ConnectionEvent.mapAddress": argument(
    "f",
    "func",
    (f) => ConnectionEvent.mapAddress(ConnectionEvent.AttemptingToConnect({ generation: 1 }), f)
  ),
  "ConnectionMap.make": optionsOf<ConnectionMap.Options<string, string, Line>>(
    { options: "func", idleTimeToLive: "duration?", maxConcurrentConnects: "limit?" },
    { options: () => good },
    ConnectionMap.make
  ),
  // The options that the function of a map returns.
  "ConnectionMap#options": makeOptions((options) =>
    Effect.flatMap(
      ConnectionMap.make({ options: (_: string) => options, maxConcurrentConnects: 1 }),
      ConnectionMap.get("a")
    )
  ),
  "ConnectionMap.get": argument("self", maps, (self) => ConnectionMap.get(self, "a")),
  "ConnectionMap.invalidate": argument("self", maps, (self) => ConnectionMap.invalidate(self, "a")),
  "ConnectionMap.keys": argument("self", maps, ConnectionMap.keys),
  // An object with methods may have other members.
  "Connector.make": optionsOf<ConnectorOptions>(
    { connect: "func", closed: "func", isClosed: "func?", probe: "func?", terminate: "func?", close: "func?" },
    connectorOptions,
    Connector.make
  ).filter(({ option }) => !option.includes("misspelt")),
  "Connector.connectTimeout": [
    ...argument("self", connectors, (self) => Connector.connectTimeout(asConnector(self), 1)),
    ...argument(
      "connectTimeout",
      {
        takes: (value) => kinds.func.takes(value) || kinds.duration.takes(value),
        right: [...kinds.func.right, ...kinds.duration.right]
      },
      (timeout) => Connector.connectTimeout(connector, timeout)
    )
  ],
  "Connector.setup": combinator("f", (self, f) => Connector.setup(self, f), () => Effect.void),
  "Connector.runInBackground": combinator("work", (self, f) => Connector.runInBackground(self, f), () => Effect.void),
  "Connector.readInBackground": argument("stream", "stream", (stream: Stream.Stream<number>) => {
    const receiver = { take: () => Effect.void, onRead: () => {}, onClosed: () => {} }
    void Connector.readInBackground(stream, Effect.never, receiver)
  }),
  "Connector.withPoll": argument("stream", "stream", (stream: Stream.Stream<number>) => {
    Connector.withPoll(stream, { poll: () => undefined, onArrival: () => () => {} })
  }),
  "Connector.callback": argument("register", "func", (register) => void Connector.callback(register)),
  "Connector.map": combinator("f", (self, f) => Connector.map(self, f), (line: Line) => line),
  "Connector.mapError": combinator("f", (self, f) => Connector.mapError(self, f), (error: never) => error),
  "Connector.mapAddress": combinator("f", (self, f) => Connector.mapAddress(self, f), (address: string) => address),
  "Connector.makeAttemptLimiter": argument("permits", "count", Connector.makeAttemptLimiter),
  "Connector.limitAttempts": [
    ...argument(
      "self",
      connectors,
      (self) => Connector.limitAttempts(asConnector(self), Connector.makeAttemptLimiter(1))
    ),
    ...argument(
      "limiter",
      only(Connector.makeAttemptLimiter(1)),
      (limiter) => Connector.limitAttempts(connector, limiter)
    )
  ],
  "Connector.healthCheck": [
    ...argument("self", connectors, (self) => Connector.healthCheck(asConnector(self), healthCheck)),
    ...optionsOf<HealthCheckOptions>(
      healthCheckKinds,
      healthCheck,
      (options) => Connector.healthCheck(connector, options)
    )
  ],
  "Connector.monitor": optionsOf<Connector.MonitorOptions<Line>>(
    { ...healthCheckKinds, onFailure: "func" },
    { ...healthCheck, onFailure: () => {} },
    Connector.monitor
  ),
  "Inspect.summarize": argument("self", feeds, Inspect.summarize),
  "PersistentConnection.make": makeOptions(PersistentConnection.make),
  "PersistentConnection.layer": [
    ...argument("tag", only(Tag), (tag) => built(PersistentConnection.layer(tag as typeof Tag, good))),
    ...makeOptions((options) => built(PersistentConnection.layer(Tag, options)))
  ],
  "PersistentConnection.use": [
    ...argument("f", "func", (f) => thrown(() => PersistentConnection.use(feed, f))),
    ...optionsOf<PersistentConnection.UseOptions>(
      { whenDisconnected: maybe(only("wait", "fail")) },
      {},
      (options) => thrown(() => PersistentConnection.use(feed, () => Effect.void, options))
    )
  ],
  "PersistentConnection.unsafeHold": [
    ...argument("self", feeds, (self) => thrown(() => PersistentConnection.unsafeHold(asFeed(self), () => {}))),
    ...argument("onEnd", "func", (onEnd) => thrown(() => PersistentConnection.unsafeHold(feed, onEnd)))
  ],
  "PersistentConnection.useRetrying": [
    ...argument("f", "func", (f) => thrown(() => PersistentConnection.useRetrying(feed, f)))
  ],
  "PersistentConnection.forEachConnection": [
    ...argument("self", feeds, (self) => PersistentConnection.forEachConnection(asFeed(self), () => Effect.void)),
    ...argument("f", "func", (f) => thrown(() => PersistentConnection.forEachConnection(feed, f)))
  ],
  "PersistentConnection.stream": [
    ...argument("f", "func", (f) => PersistentConnection.stream(feed, f)),
    ...optionsOf<PersistentConnection.StreamOptions>(
      { drainTimeout: "duration?" },
      {},
      (options) => PersistentConnection.stream(feed, () => Stream.empty, options)
    )
  ],
  "PersistentConnection.resumableStream": optionsOf<ResumeOptions>(
    { subscribe: "func", cursor: "func", whenRefused: maybe(only("fail", "reconnect")), drainTimeout: "duration?" },
    { subscribe: () => Effect.succeed(Stream.empty), cursor: (element) => element },
    (options) => PersistentConnection.resumableStream(feed, options)
  ),
  "PersistentConnection.closeGracefully": [
    ...argument("self", feeds, (self) => PersistentConnection.closeGracefully(asFeed(self), 1)),
    ...argument("drain", "duration", (drain) => PersistentConnection.closeGracefully(feed, drain))
  ],
  "PersistentConnection.refresh": refreshOptions((options) => PersistentConnection.refresh(feed, options)),
  "PersistentConnection.refreshWhen": [
    ...argument("signal", "func", (signal) => thrown(() => PersistentConnection.refreshWhen(feed, signal))),
    ...refreshOptions((options) => PersistentConnection.refreshWhen(feed, () => Effect.void, options))
  ],
  "PersistentConnection.maxAge": [
    ...argument("maxAge", "duration", (age) => PersistentConnection.maxAge(age)),
    ...optionsOf<{ readonly jitter?: number | undefined }>(
      { jitter: "part?" },
      {},
      (options) => PersistentConnection.maxAge("1 hour", options)
    )
  ],
  "PersistentConnection.reconnectNow": reconnectOptions((options) => PersistentConnection.reconnectNow(feed, options)),
  "PersistentConnection.reconnectOn": [
    ...argument("signals", "stream", (signals) => PersistentConnection.reconnectOn(feed, signals)),
    ...reconnectOptions((options) => PersistentConnection.reconnectOn(feed, Stream.empty, options))
  ],
  "PersistentConnection.status": optionsOf<PersistentConnection.StatusOptions>(
    { ignoreLossesShorterThan: "duration?" },
    {},
    (options) => PersistentConnection.status(feed, options)
  ),
  "RetryPolicy.randomized": [
    ...argument("delay", "finite", (delay) => RetryPolicy.randomized(delay)),
    ...optionsOf<{ readonly jitter?: number | undefined }>(
      { jitter: "part?" },
      {},
      (options) => RetryPolicy.randomized("1 second", options)
    )
  ],
  "RetryPolicy.fixed": argument("delay", "finite", RetryPolicy.fixed),
  "RetryPolicy.exponential": optionsOf<RetryPolicy.ExponentialOptions>(
    { base: "finite", factor: "factor?", maxDelay: "finite?", jitter: maybe(jitters) },
    { base: 0 },
    RetryPolicy.exponential
  ),
  "RetryPolicy.retryAfter": argument("retryAfter", "finite", RetryPolicy.retryAfter),
  "RetryPolicy.giveUpAfter": [
    ...argument("self", "schedule", (self) => RetryPolicy.giveUpAfter(1)(self)),
    ...argument("giveUpAfter", "duration", (time) => RetryPolicy.giveUpAfter(Schedule.forever, time))
  ],
  "RetryPolicy.classify": [
    ...argument("self", "schedule", (self) => RetryPolicy.classify(() => RetryPolicy.follow)(self)),
    ...argument("decide", "func", (decide) => RetryPolicy.classify(Schedule.forever, decide))
  ],
  // Steps a policy directly. `errorClasses.test.ts` tests the behaviour of the loop.
  "RetryPolicy#decide": argument(
    "The result of decide",
    only(RetryPolicy.follow, RetryPolicy.giveUp, RetryPolicy.retryAfter("1 second")),
    (decision) => {
      const { initial, step } = RetryPolicy.classify(Schedule.forever, () => decision)
      return step(0, Cause.empty, initial)
    }
  ),
  "Recorder#waitFor": argument("The argument of waitFor", {
    takes: (value) => typeof value === "string" || typeof value === "function",
    right: []
  }, (wanted) => Effect.flatMap(Recorder.make(), (recorder) => recorder.waitFor(wanted))),
  "TestConnector.make": optionsOf<Partial<TestConnector.Options<Line, never, unknown>>>(
    { script: maybe(scripts), connection: "func?" },
    {},
    (options) => TestConnector.make(options as TestConnector.Options<Line, never, unknown>)
  ),
  "TestConnector#always": argument("answer", answers, (answer) => onTestConnector((self) => self.always(answer))),
  "TestConnector#onNextAttempt": argument(
    "answers",
    answers,
    (answer) => onTestConnector((self) => self.onNextAttempt(answer))
  ),
  "TestConnector#awaitAttempts": argument(
    "count",
    { takes: Number.isSafeInteger, right: [0] },
    (count) => onTestConnector((self) => self.awaitAttempts(count))
  ),
  "TestConnector.failCause": argument("cause", "cause", TestConnector.failCause),
  "TestConnector.decide": argument("f", "func", TestConnector.decide),
  "TestConnector.delayed": [
    ...argument("self", answers, (self) => TestConnector.delayed(self, 1)),
    ...argument("delay", "duration", (delay) => TestConnector.delayed(answer, delay))
  ],
  "TestConnector.thenLose": [
    ...argument("self", answers, (self) => TestConnector.thenLose(self, { after: 1 })),
    ...optionsOf<{ readonly after: number; readonly cause?: Cause.Cause<never> | undefined }>(
      { after: "duration", cause: maybe(kinds.cause) },
      { after: 1 },
      (options) => TestConnector.thenLose(answer, options)
    )
  ],
  "ThunderingHerd.simulate": optionsOf<ThunderingHerd.Scenario>(
    {
      ...retryKinds,
      clients: "count?",
      seeds: "nonEmptyArray?",
      uptime: "finite?",
      outage: "finite?",
      failure: maybe(kinds.cause)
    },
    { clients: 1, seeds: [1] },
    ThunderingHerd.simulate
  ),
  "ThunderingHerd.peak": argument("window", "finite", (window) => ThunderingHerd.peak(simulation, window)),
  "ThunderingHerd.check": optionsOf<{ readonly window: number; readonly atMost: number }>(
    { window: "finite", atMost: "anyNumber" },
    { window: 1, atMost: 1 },
    (options) => ThunderingHerd.check(simulation, options)
  )
}

/** Calls a function without running its effect: an invalid option must throw. */
function thrown(f: () => unknown): undefined {
  f()
}

function refreshOptions(give: (options: PersistentConnection.RefreshOptions) => unknown): Rows {
  return optionsOf<PersistentConnection.RefreshOptions>(
    { drain: "duration?", elsewhere: "boolean?" },
    {},
    (options) => thrown(() => give(options))
  )
}

function reconnectOptions(give: (options: PersistentConnection.ReconnectOptions) => unknown): Rows {
  return optionsOf<PersistentConnection.ReconnectOptions>(
    { whenConnected: maybe(only("keep", "probe", "refresh", "drop")), whenConnecting: maybe(only("keep", "restart")) },
    {},
    (options) => thrown(() => give(options))
  )
}

function onTestConnector<A>(f: (self: TestConnector.TestConnector<TestConnector.Line>) => Effect.Effect<A>) {
  return Effect.flatMap(TestConnector.make(), f)
}

const modules = {
  Addresses,
  ConnectionError,
  ConnectionEvent,
  ConnectionLog,
  ConnectionMap,
  ConnectionMetrics,
  ConnectionState,
  ConnectionStatus,
  Connector,
  Inspect,
  Options,
  PersistentConnection,
  RetryPolicy,
  Recorder,
  TestConnector,
  ThunderingHerd
}

it("every public module is tested", () => {
  const files = ["../src", "../src/testing"].flatMap((folder) => readdirSync(new URL(folder, import.meta.url)))
  const names = files.filter((file) => file.endsWith(".ts") && file !== "index.ts").map((file) => file.slice(0, -3))
  expect(Object.keys(modules).sort()).toEqual(names.sort())
})

tryWrongOptions(modules, table, {
  Addresses: ["constant"],
  ConnectionError: ["ConnectionClosed", "ConnectionLost", "NotConnected", "isRegularEnd"],
  ConnectionEvent: [
    "$is",
    "$match",
    "AttemptingToConnect",
    "Connected",
    "Disconnected",
    "FailedToConnect",
    "ObtainedAddress",
    "logLevel",
    "message"
  ],
  ConnectionLog: ["track"],
  ConnectionMap: ["TypeId"],
  ConnectionMetrics: [
    "attempts",
    "connections",
    "handlerDefects",
    "losses",
    "roundTripTime",
    "slowHandlers",
    "state",
    "timeDisconnected",
    "timeToConnect",
    "track",
    "uptime",
    "waiting"
  ],
  ConnectionState: ["$is", "$match", "Closed", "Closing", "Connected", "Connecting", "Waiting", "connection"],
  ConnectionStatus: ["$is", "$match", "Closed", "Connected", "Connecting", "Reconnecting"],
  Connector: ["TypeId"],
  Inspect: ["all"],
  // See base/options.test.ts.
  Options: Object.keys(Options),
  PersistentConnection: ["TypeId", "isPersistentConnection"],
  RetryPolicy: ["follow", "giveUp", "production", "standard"],
  Recorder: ["events", "make", "states"],
  TestConnector: ["abort", "die", "fail", "hang", "succeed"],
  ThunderingHerd: ["Stampede"]
})

it("the production options can be spread into other options", async () => {
  await Effect.runPromise(Effect.scoped(PersistentConnection.make({ ...good, ...RetryPolicy.production })))
  await Effect.runPromise(ThunderingHerd.simulate({ ...RetryPolicy.production, clients: 1, seeds: [1] }))
})
