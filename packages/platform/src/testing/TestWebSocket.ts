/**
 * WebSockets for tests, without a network: the test controls a simulated server. It answers each attempt, sends,
 * receives, closes and drops connections, and makes them silent. It needs no test framework. Time is that of the
 * `Clock`, so it works under `TestClock` as well as in real time.
 *
 * @example
 * ```ts
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 * import * as TestWebSocket from "@persistent-connection/platform/testing/TestWebSocket"
 * import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
 * import * as Effect from "effect/Effect"
 * import * as TestClock from "effect/TestClock"
 *
 * // Run this in a test: the server refuses the first attempt, accepts the second one, and answers the hello.
 * export const test = Effect.gen(function*() {
 *   const server = yield* TestWebSocket.make({ script: [TestWebSocket.refuse(503)] })
 *   const feed = yield* PersistentConnection.make({
 *     serverName: "feed",
 *     address: Effect.succeed("wss://feed.example.com"),
 *     connector: WebSocketConnector.make(),
 *     retry: RetryPolicy.fixed("10 seconds")
 *   }).pipe(Effect.provide(server.layer))
 *   yield* TestClock.adjust("10 seconds")
 *   const connection = yield* feed.connected
 *   yield* connection.send("hello")
 *   const peer = yield* server.accepted
 *   yield* peer.send(`${yield* peer.take} to you`)
 *   return yield* connection.receive
 * })
 * ```
 *
 * @since 0.1.0
 */
import type * as Socket from "@effect/platform/Socket"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as internal from "../internal/testing/testWebSocket.js"

/**
 * The answer of the server to an attempt, and its delay (`after`, default: 0). See `accept`, `refuse`, `fail` and
 * `hang`.
 *
 * @since 0.1.0
 * @category models
 */
export type Answer =
  & { readonly after: Duration.Duration }
  & (
    | { readonly _tag: "Accept"; readonly protocol: string }
    | {
      readonly _tag: "Refuse"
      readonly status: number
      readonly headers: { readonly [name: string]: string }
      readonly body: string
    }
    | { readonly _tag: "Fail"; readonly code: string }
    | { readonly _tag: "Hang" }
  )

/**
 * An attempt to connect that has been made.
 *
 * @since 0.1.0
 * @category models
 */
export interface Attempt {
  readonly url: string
  readonly protocols: ReadonlyArray<string>
  /** When it began, in ms of the `Clock`. */
  readonly begunAt: number
}

/**
 * One connection, seen from the server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Peer {
  readonly url: string
  readonly protocols: ReadonlyArray<string>

  /** Takes the next message of the client. Waits for it without a limit. */
  readonly take: Effect.Effect<string | Uint8Array>

  /** All messages that the client has sent so far. */
  readonly received: Effect.Effect<ReadonlyArray<string | Uint8Array>>

  /** Sends messages. They are dropped if the connection is not open any more. */
  readonly send: (...messages: ReadonlyArray<string | Uint8Array>) => Effect.Effect<void>

  /** Closes the connection. Without a code the client gets 1005. */
  readonly close: (code?: number, reason?: string) => Effect.Effect<void>

  /** Ends the connection without a close frame: the client gets code 1006. */
  readonly drop: Effect.Effect<void>

  /**
   * Makes the connection half-open: the client gets no messages, and no answers to pings or to a close. `drop` still
   * ends it.
   */
  readonly fallSilent: Effect.Effect<void>

  /**
   * Waits until the client has closed the connection, and gives the code and the text: 1005 for a close without a code,
   * 1006 if the connection ended without a close of the client.
   */
  readonly closedByClient: Effect.Effect<{ readonly code: number; readonly reason: string }>
}

/**
 * A server with its controls for a test. It answers every URL.
 *
 * @since 0.1.0
 * @category models
 */
export interface TestWebSocket {
  /** The `WebSocketConstructor` for a `WebSocketConnector`. */
  readonly layer: Layer.Layer<Socket.WebSocketConstructor>

  /** Sets the answers of the next attempts, in this order. Later attempts go on with the script. */
  readonly onNextAttempt: (...answers: ReadonlyArray<Answer>) => Effect.Effect<void>

  /** Sets the answer of every attempt from now on. Replaces the rest of the script. */
  readonly always: (answer: Answer) => Effect.Effect<void>

  /** The attempts made so far. */
  readonly attempts: Effect.Effect<ReadonlyArray<Attempt>>

  /** Takes the next accepted connection, in the order of their opening. Waits for it without a limit. */
  readonly accepted: Effect.Effect<Peer>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The answers of the first attempts; later attempts are accepted. */
  readonly script?: ReadonlyArray<Answer> | undefined
  /**
   * The platform that the sockets of the client simulate: `ws`, which has pings and backpressure, can destroy a socket,
   * and reports why a server refused; or a browser, which can do none of these. Default: `"ws"`.
   */
  readonly platform?: "ws" | "browser" | undefined
}

/**
 * Makes a simulated server for one test.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: (options?: Options) => Effect.Effect<TestWebSocket> = internal.make

/**
 * The server accepts the connection, with this subprotocol if the client offered it.
 *
 * @since 0.1.0
 * @category answers
 */
export const accept: (
  options?: { readonly protocol?: string | undefined; readonly after?: Duration.DurationInput | undefined }
) => Answer = internal.accept

/**
 * The server refuses the upgrade with an HTTP status, optional headers such as `retry-after`, and an optional body.
 *
 * @since 0.1.0
 * @category answers
 */
export const refuse: (
  status: number,
  options?: {
    readonly headers?: { readonly [name: string]: string } | undefined
    readonly body?: string | undefined
    readonly after?: Duration.DurationInput | undefined
  }
) => Answer = internal.refuse

/**
 * The connection cannot be opened, with this error code of the system or of TLS, such as `CERT_HAS_EXPIRED`. Default:
 * `ECONNREFUSED`.
 *
 * @since 0.1.0
 * @category answers
 */
export const fail: (
  code?: string,
  options?: { readonly after?: Duration.DurationInput | undefined }
) => Answer = internal.fail

/**
 * The server accepts the TCP connection but never answers.
 *
 * @since 0.1.0
 * @category answers
 */
export const hang: Answer = internal.hang
