/**
 * The feed over WebSockets. The client sends "ping", or `{ "after": number | null }` to subscribe. The server sends
 * "pong", "goingAway" when it announces a restart, and the messages as JSON.
 */
import type * as Socket from "@effect/platform/Socket"
import type { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import type { WebSocketError } from "@persistent-connection/platform/WebSocketError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Feed, Message } from "./feed.js"

export type FeedError = WebSocketError | ConnectionLost

const feedOf = (socket: WebSocketConnector.WebSocketConnection) =>
  Effect.gen(function*() {
    const messages = yield* Mailbox.make<Message>()
    const goingAway = yield* Deferred.make<void>()
    let pong = yield* Deferred.make<void>()
    const read = Stream.runForEach(socket.messages, (text) => {
      switch (text) {
        case "pong":
          return Deferred.succeed(pong, undefined)
        case "goingAway":
          return Deferred.succeed(goingAway, undefined)
        default:
          return messages.offer(JSON.parse(String(text)))
      }
    })
    return {
      // The stream ends when everything that was received has been delivered.
      read: Effect.ensuring(read, messages.end),
      subscribe: (after: Option.Option<number>) =>
        Effect.as(socket.send(JSON.stringify({ after: Option.getOrNull(after) })), Mailbox.toStream(messages)),
      ping: Effect.gen(function*() {
        pong = yield* Deferred.make<void>()
        yield* socket.send("ping")
        yield* Deferred.await(pong)
      }),
      goingAway: Deferred.await(goingAway)
    }
  })

// Pings of the WebSocket protocol are off, because browsers have none: the feed has its own.
const open = WebSocketConnector.make({ ping: false }).pipe(
  Connector.setup(feedOf),
  Connector.runInBackground((feed) => feed.read),
  Connector.map((feed): Feed<FeedError> => feed)
)

/** The connector of the feed for a platform. */
export const connectorFor = (
  platform: Layer.Layer<Socket.WebSocketConstructor>
): Connector.Connector<string, Feed<FeedError>, FeedError> =>
  Connector.make({
    ...open,
    connect: (address: string, attempt) => Effect.provide(open.connect(address, attempt), platform)
  })
