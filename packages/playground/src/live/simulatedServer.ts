/** The server of the playground, simulated with a `TestConnector`. */
import * as Connector from "@persistent-connection/core/Connector"
import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type Feed, FeedError, firstNumber, timeOf } from "./feed.js"
import { announcementTime, initialWorld, nextWorld, type WorldState } from "./scenario.js"
import type { Server } from "./world.js"

const url = "ws://feed.example.com"

/** How long an answer of the server takes, in ms. */
export const roundTrip = 10

export const refused = "The connection was refused"
export const killed = "The server was killed"
export const dropped = "The connection was dropped"

interface SimulatedFeed extends Feed {
  /** The server announces a restart on this connection. */
  readonly announce: Effect.Effect<unknown>
  /** The server ends the messages, because this side closes the connection. */
  readonly end: Effect.Effect<unknown>
}

export interface SimulatedServer extends Server<FeedError> {
  readonly attempts: Effect.Effect<ReadonlyArray<TestConnector.Attempt<unknown, FeedError>>>
}

export const make: Effect.Effect<SimulatedServer, never, Scope.Scope> = Effect.gen(function*() {
  const scope = yield* Effect.scope
  const clock = yield* Effect.clock
  const now = () => clock.unsafeCurrentTimeMillis()
  let state = initialWorld

  const makeFeed = (line: TestConnector.Line<string>): SimulatedFeed => {
    const goingAway = Deferred.unsafeMake<void>(FiberId.none)
    const ended = Deferred.unsafeMake<void>(FiberId.none)
    // Does not answer if the connection is silent or lost.
    const ping = Effect.suspend(() => Effect.delay(line.ping, state.latency))
    const feed: SimulatedFeed = {
      ping,
      goingAway: Deferred.await(goingAway),
      announce: Deferred.succeed(goingAway, undefined),
      end: Deferred.succeed(ended, undefined),
      subscribe: (after) =>
        Effect.sync(() => {
          let next = firstNumber(Option.getOrUndefined(after), now(), state.upSince)
          return Stream.repeatEffect(Effect.suspend(() =>
            Effect.sleep(Math.max(0, timeOf(next) - now())).pipe(
              Effect.zipRight(ping),
              Effect.map(() => ({ number: next++ }))
            )
          )).pipe(
            Stream.interruptWhen(Effect.race(Deferred.await(ended), Effect.ignore(server.connector.closed(feed))))
          )
        })
    }
    return feed
  }

  const server: TestConnector.TestConnector<SimulatedFeed, FeedError, string> = yield* TestConnector.make({
    connection: makeFeed,
    script: [answer(initialWorld)]
  })
  const connector: Connector.Connector<string, SimulatedFeed, FeedError> = Connector.make({
    ...server.connector,
    close: (feed) => feed.end
  })

  const whenOpen = (effect: Effect.Effect<void>) =>
    Effect.flatMap(server.open, (open) => open.length > 0 ? effect : Effect.void)

  const announce = Effect.flatMap(server.open, (feeds) =>
    Effect.forEach(
      feeds,
      (feed, index) => Effect.forkIn(Effect.delay(feed.announce, (index * announcementTime) / feeds.length), scope),
      { discard: true }
    ))

  return {
    url,
    connector: Connector.map(connector, (feed): Feed<FeedError> => feed),
    attempts: server.attempts,
    apply: (action) =>
      Effect.gen(function*() {
        state = nextWorld(state, action, now())
        yield* server.always(answer(state))
        if (action.tag === "kill") yield* whenOpen(server.lose(Cause.fail(new FeedError({ reason: killed }))))
        if (action.tag === "silence") yield* whenOpen(server.fallSilent())
        if (action.tag === "announce") yield* announce
      })
  }
})

const answer = ({ dropAfter, latency, server }: WorldState): TestConnector.Answer<never, FeedError> => {
  switch (server) {
    case "hanging":
      return TestConnector.hang
    case "down":
    case "refusing":
      return TestConnector.fail(new FeedError({ reason: refused })).pipe(TestConnector.delayed(roundTrip))
    case "up": {
      const accepted = TestConnector.succeed().pipe(TestConnector.delayed(roundTrip + latency))
      return dropAfter === 0
        ? accepted
        : TestConnector.thenLose(accepted, {
          after: dropAfter,
          cause: Cause.fail(new FeedError({ reason: dropped }))
        })
    }
  }
}
