import { describe, expect, it as withTestClock } from "@effect/vitest"
import { ConnectionClosed, type ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as ConnectionMap from "@persistent-connection/core/ConnectionMap"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { expectTypeOf } from "vitest"
import { askNow, pass, settle, sleep } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

class FeedError extends Data.TaggedError("FeedError")<{ readonly status: number }> {}

class PriceFeed {
  constructor(readonly host: string) {}
}

class Prices extends Context.Tag("app/Prices")<
  Prices,
  PersistentConnection.PersistentConnection<PriceFeed, FeedError>
>() {}

/** The services that the parts of the persistent connection require. */
class Catalog extends Context.Tag("app/Catalog")<Catalog, { readonly lookUp: Effect.Effect<string, FeedError> }>() {}
class Network extends Context.Tag("app/Network")<Network, { opened: number; closed: number }>() {}
class EventLog extends Context.Tag("app/EventLog")<EventLog, Array<string>>() {}
class RetryCounter extends Context.Tag("app/RetryCounter")<RetryCounter, { asked: number }>() {}

const connector = Connector.make({
  connect: (host: string) =>
    Effect.flatMap(Network, (network) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          network.opened++
          return new PriceFeed(host)
        }),
        () => Effect.sync(() => network.closed++)
      )),
  closed: () => Effect.never
})

const lookUpInCatalog = Effect.flatMap(Catalog, ({ lookUp }) => lookUp)

const PricesLive = PersistentConnection.layer(Prices, {
  serverName: "prices",
  address: lookUpInCatalog,
  connector,
  retry: RetryPolicy.fixed("10 seconds").pipe(
    Schedule.tapInput((_: Cause.Cause<FeedError | Cause.TimeoutException>) =>
      Effect.map(RetryCounter, (retryCounter) => {
        retryCounter.asked++
      })
    )
  ),
  onEvent: (event) => Effect.map(EventLog, (eventLog) => eventLog.push(event._tag))
})

const surroundings = () => {
  const network = { opened: 0, closed: 0 }
  const eventLog: Array<string> = []
  const retryCounter = { asked: 0 }
  const catalog = { failures: 0 }
  const layer = Layer.mergeAll(
    Layer.succeed(Network, network),
    Layer.succeed(EventLog, eventLog),
    Layer.succeed(RetryCounter, retryCounter),
    Layer.succeed(Catalog, {
      lookUp: Effect.suspend(() =>
        catalog.failures-- > 0 ? Effect.fail(new FeedError({ status: 503 })) : Effect.succeed("a.example.com")
      )
    })
  )
  return { network, eventLog, retryCounter, catalog, layer }
}

describe("the layer", () => {
  it.effect("D8: makes a persistent connection, and closes it with the scope of the layer", () =>
    Effect.gen(function*() {
      const { eventLog, layer, network } = surroundings()
      const service = yield* Effect.gen(function*() {
        const prices = yield* Prices
        const feed = yield* prices.connected
        expect(feed).toEqual(new PriceFeed("a.example.com"))
        expect(network).toEqual({ opened: 1, closed: 0 })
        return prices
      }).pipe(Effect.provide(Layer.provide(PricesLive, layer)))
      expect(network).toEqual({ opened: 1, closed: 1 })
      expect(eventLog).toEqual(["AttemptingToConnect", "ObtainedAddress", "Connected", "Disconnected"])
      expect(yield* service.isClosed).toBe(true)
      expect((yield* askNow(service.connectedOrClosed)).error).toBeInstanceOf(ConnectionClosed)
    }))

  it.effect("C1: is built at once, even if the server is down", () =>
    Effect.gen(function*() {
      const { catalog, layer, retryCounter } = surroundings()
      catalog.failures = 2
      yield* Effect.gen(function*() {
        const prices = yield* Prices
        expect(yield* prices.currentConnection).toEqual(Option.none())
        const feed = yield* askNow(prices.connected)
        expect(feed.isWaiting).toBe(true)
        yield* pass(20)
        expect(feed.isWaiting).toBe(false)
        expect(retryCounter.asked).toBe(2)
      }).pipe(Effect.provide(Layer.provide(PricesLive, layer)))
    }))

  it.effect("D8: is memoised: all users share one persistent connection, which closes once", () =>
    Effect.gen(function*() {
      class Quotes extends Context.Tag("app/Quotes")<Quotes, PriceFeed>() {}
      class Charts extends Context.Tag("app/Charts")<Charts, PriceFeed>() {}
      const feed = Effect.flatMap(Prices, ({ connected }) => connected)
      const { layer, network } = surroundings()
      const app = Layer.merge(Layer.effect(Quotes, feed), Layer.effect(Charts, feed)).pipe(
        Layer.provide(PricesLive),
        Layer.provide(layer)
      )
      const [quotes, charts] = yield* Effect.all([Quotes, Charts]).pipe(Effect.provide(app))
      expect(quotes).toBe(charts)
      expect(network).toEqual({ opened: 1, closed: 1 })
    }))

  it.effect("D8: `Layer.fresh` makes another one", () =>
    Effect.gen(function*() {
      const { layer, network } = surroundings()
      const both = Layer.merge(
        Layer.effectDiscard(Effect.flatMap(Prices, ({ connected }) => connected)).pipe(Layer.provide(PricesLive)),
        Layer.effectDiscard(Effect.flatMap(Prices, ({ connected }) => connected)).pipe(
          Layer.provide(Layer.fresh(PricesLive))
        )
      )
      yield* Effect.scoped(Layer.build(Layer.provide(both, layer)))
      expect(network).toEqual({ opened: 2, closed: 2 })
    }))

  it.effect("D8: it outlives its uses, and closes before the services that it needs", () =>
    Effect.gen(function*() {
      const order: Array<string> = []
      const { layer } = surroundings()
      const network = Layer.scoped(
        Network,
        Effect.acquireRelease(
          Effect.succeed({
            opened: 0,
            get closed() {
              return 0
            },
            set closed(_) {
              order.push("connection closed")
            }
          }),
          () => Effect.sync(() => order.push("network gone"))
        )
      )
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        PricesLive.pipe(Layer.provide(network), Layer.provide(layer)),
        scope
      )
      yield* Context.get(context, Prices).connected
      yield* pass(100)
      expect(order).toEqual([])
      yield* Scope.close(scope, Exit.void)
      expect(order).toEqual(["connection closed", "network gone"])
    }))

  withTestClock.effect("D8: disposing of a ManagedRuntime closes it", () =>
    Effect.gen(function*() {
      const { layer, network } = surroundings()
      const runtime = ManagedRuntime.make(Layer.provide(PricesLive, layer))
      yield* Effect.promise(() => runtime.runPromise(Effect.flatMap(Prices, ({ connected }) => connected)))
      expect(network).toEqual({ opened: 1, closed: 0 })
      yield* runtime.disposeEffect
      expect(network).toEqual({ opened: 1, closed: 1 })
    }))

  it.effect("D8: it can be closed even if it was built in an uninterruptible region", () =>
    Effect.gen(function*() {
      for (const place of ["the look-up", "connect", "closed", "the backoff", "the handler"]) {
        const { layer } = surroundings()
        const stuck = Effect.onInterrupt(Effect.never, () => Effect.void)
        const live = PersistentConnection.layer(Prices, {
          serverName: "prices",
          address: place === "the look-up" ? stuck : Effect.succeed("a"),
          connector: Connector.make({
            connect: (host: string) =>
              place === "connect"
                ? stuck
                : place === "the backoff"
                ? Effect.fail(new FeedError({ status: 503 }))
                : Effect.succeed(new PriceFeed(host)),
            closed: () => stuck
          }),
          onEvent: () => place === "the handler" ? stuck : Effect.void
        })
        const scope = yield* Scope.make()
        const context = yield* Effect.uninterruptible(Layer.buildWithScope(Layer.provide(live, layer), scope))
        yield* settle
        const leaving = yield* askNow(Scope.close(scope, Exit.void))
        expect(leaving.isWaiting, `in ${place}`).toBe(false)
        expect((yield* Context.get(context, Prices).state.get)._tag).toBe("Closed")
      }
    }))

  it.effect("D8: an interrupted build leaves nothing behind", () =>
    Effect.gen(function*() {
      const { layer, network } = surroundings()
      const slow = Layer.scopedDiscard(Effect.zipRight(sleep(10), Effect.void)).pipe(
        Layer.provideMerge(Layer.provide(PricesLive, layer))
      )
      const building = yield* Effect.fork(Effect.scoped(Layer.build(slow)))
      yield* pass(5)
      expect(network).toEqual({ opened: 1, closed: 0 })
      building.unsafeInterruptAsFork(building.id())
      yield* settle
      expect(network).toEqual({ opened: 1, closed: 1 })
    }))

  it.effect("a persistent connection that is made in a span does not run in that span", () =>
    Effect.gen(function*() {
      const spans: Array<string> = []
      const note = Effect.flatMap(Effect.option(Effect.currentSpan), (span) =>
        Effect.sync(() => spans.push(Option.match(span, { onNone: () => "none", onSome: ({ name }) => name }))))
      yield* PersistentConnection.make({
        serverName: "prices",
        address: Effect.as(note, "a"),
        connector: Connector.make({
          connect: () =>
            Effect.as(note, {}),
          closed: () => Effect.never
        }),
        onEvent: () => note
      }).pipe(Effect.withSpan("start-up"), Effect.zipRight(pass(1)), Effect.scoped)
      expect(new Set(spans)).toEqual(new Set(["none"]))
    }))

  it.effect("E3: its types are inferred from its options", () =>
    Effect.sync(() => {
      expectTypeOf(PricesLive).toEqualTypeOf<Layer.Layer<Prices, never, Catalog | Network | EventLog | RetryCounter>>()
      const program = Effect.flatMap(Prices, (prices) => prices.connectedOrFailedToConnect)
      expectTypeOf(program).toEqualTypeOf<
        Effect.Effect<PriceFeed, FeedError | Cause.TimeoutException | ConnectionClosed<FeedError>, Prices>
      >()
      const simple = PersistentConnection.layer(Prices, {
        serverName: "prices",
        address: Effect.succeed("a.example.com"),
        connector: Connector.make({
          connect: (host: string, attempt) =>
            Effect.as(attempt.abort(new FeedError({ status: 403 })), new PriceFeed(host)),
          closed: (_: PriceFeed) => Effect.fail(new FeedError({ status: 1006 }))
        }),
        onEvent: (event) => {
          if (event._tag === "ObtainedAddress") expectTypeOf(event.address).toEqualTypeOf<string>()
          if (event._tag === "Connected") expectTypeOf(event.connection).toEqualTypeOf<PriceFeed>()
          if (event._tag === "Disconnected") expectTypeOf(event.cause).toEqualTypeOf<Cause.Cause<FeedError>>()
          return Effect.void
        }
      })
      expectTypeOf(simple).toEqualTypeOf<Layer.Layer<Prices>>()
      const noHost = new FeedError({ status: 404 })
      const asking = PersistentConnection.make({
        serverName: "prices",
        address: (attempt) =>
          Option.isSome(attempt.previousAddress) ? Effect.succeed("b.example.com") : Effect.fail(noHost),
        connector: Connector.make({
          connect: (host: string, attempt) =>
            attempt.number > 3 ? attempt.abort("too often" as const) : Effect.succeed(new PriceFeed(host)),
          closed: (_: PriceFeed) => Effect.void
        }).pipe(Connector.setup((feed, _host, attempt) => attempt.number > 2 ? Effect.fail(3) : Effect.succeed(feed)))
      })
      expectTypeOf(asking).toEqualTypeOf<
        Effect.Effect<
          PersistentConnection.PersistentConnection<PriceFeed, FeedError | "too often" | number | ConnectionLost>,
          never,
          Scope.Scope
        >
      >()
      expect(Layer.isLayer(simple)).toBe(true)
    }))

  class Served extends Effect.Service<Served>()("app/Served", {
    scoped: PersistentConnection.make({ serverName: "prices", address: lookUpInCatalog, connector })
  }) {}

  it.scoped("Effect.Service with `make` inside has its operations, and the requirements of the parts", () =>
    Effect.gen(function*() {
      expectTypeOf(Served.Default).toEqualTypeOf<Layer.Layer<Served, never, Catalog | Network>>()
      const network = { opened: 0, closed: 0 }
      const price = Effect.flatMap(
        Served,
        (served) => PersistentConnection.use(served, ({ host }) => Effect.succeed(host))
      )
      const host = yield* price.pipe(
        Effect.provide(Served.Default),
        Effect.provideService(Catalog, { lookUp: Effect.succeed("a.example.com") }),
        Effect.provideService(Network, network)
      )
      expect([host, network]).toEqual(["a.example.com", { opened: 1, closed: 1 }])
    }))

  it("the services of the policy and the handler are required, and can be provided separately", () => {
    const needs = Effect.zipRight(EventLog, RetryCounter)
    const make = PersistentConnection.make({
      serverName: "prices",
      address: Effect.succeed("a"),
      connector,
      retry: Schedule.tapInput(RetryPolicy.fixed("1 second"), () => needs),
      onEvent: () => needs
    })
    expectTypeOf(make).toEqualTypeOf<
      Effect.Effect<
        PersistentConnection.PersistentConnection<PriceFeed>,
        never,
        Network | EventLog | RetryCounter | Scope.Scope
      >
    >()
    const provided = make.pipe(
      Effect.provideService(EventLog, []),
      Effect.provideService(RetryCounter, { asked: 0 }),
      Effect.provideService(Network, { opened: 0, closed: 0 })
    )
    expectTypeOf<Effect.Effect.Context<typeof provided>>().toEqualTypeOf<Scope.Scope>()
    class Map extends Effect.Service<Map>()("app/Map", {
      scoped: ConnectionMap.make({
        options: (host: string) => ({ serverName: host, address: Effect.succeed(host), connector })
      })
    }) {}
    expectTypeOf(Map.Default).toEqualTypeOf<Layer.Layer<Map, never, Network>>()
  })
})
