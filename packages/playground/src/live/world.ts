/** The world of the clients: a server that a scenario disturbs, and the network to it. */
import type { Connector } from "@persistent-connection/core/Connector"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import { type Feed, FeedError } from "./feed.js"
import type { Action } from "./scenario.js"

/** A server, real or simulated. It ignores `offline`, `online` and `close`, which are about the clients. */
export interface Server<E> {
  readonly url: string
  readonly connector: Connector<string, Feed<E>, E>
  readonly apply: (action: Action) => Effect.Effect<void>
}

export interface World<E> {
  readonly connector: Connector<string, Feed<E>, E>
  /** The look-up. It fails while the clients are offline. */
  readonly address: Effect.Effect<string, FeedError>
  /** An element each time when the network comes back. */
  readonly networkIsBack: Stream.Stream<void>
  /** Does everything but `close`. */
  readonly apply: (action: Action) => Effect.Effect<void>
}

export const make = <E>({ apply, connector, url }: Server<E>): Effect.Effect<World<E>> =>
  Effect.map(PubSub.unbounded<void>(), (back) => {
    let isOnline = true
    return {
      connector,
      address: Effect.suspend(() => isOnline ? Effect.succeed(url) : new FeedError({ reason: "The network is down" })),
      networkIsBack: Stream.fromPubSub(back),
      apply: (action) =>
        Effect.suspend(() => {
          switch (action.tag) {
            case "offline":
              isOnline = false
              // Nothing tells the clients that their network has gone.
              return apply({ tag: "silence" })
            case "online":
              isOnline = true
              return Effect.asVoid(PubSub.publish(back, undefined))
            default:
              return apply(action)
          }
        })
    }
  })
