/**
 * WebSockets for tests, without a network: the test says what the server does with each attempt, talks and listens as
 * the server, closes, drops and goes silent. It knows no test framework, and time is that of the `Clock`, so it works
 * under `TestClock` as it does with real time.
 *
 * @example
 * ```ts
 * import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
 * import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
 * import * as TestWebSocket from "@persistent-connection/platform/testing/TestWebSocket"
 * import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 * import * as TestClock from "effect/TestClock"
 *
 * // To be run as a test: the first attempt is refused; on the second one the server answers a hello.
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
 *   return yield* Stream.runHead(connection.messages)
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
 * What the server does with an attempt to connect, and how long that takes. See `accept`, `refuse`, `fail` and `hang`.
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
 * One connection, as the server has it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Peer {
  readonly url: string
  readonly protocols: ReadonlyArray<string>

  /** The next message of the client that has not been taken yet; waits for it. */
  readonly take: Effect.Effect<string | Uint8Array>

  /** All messages that the client has sent so far. */
  readonly received: Effect.Effect<ReadonlyArray<string | Uint8Array>>

  /** Sends messages. They are lost if the connection is not open any more. */
  readonly send: (...messages: ReadonlyArray<string | Uint8Array>) => Effect.Effect<void>

  /** Closes the connection: without a code if none is given, which the client sees as 1005. */
  readonly close: (code?: number, reason?: string) => Effect.Effect<void>

  /** Breaks the connection, without a close frame: the client sees 1006. */
  readonly drop: Effect.Effect<void>

  /**
   * From now on the server answers nothing, neither pings nor a close, and sends nothing, but the connection looks
   * open: it is half-open. `drop` still breaks it.
   */
  readonly fallSilent: Effect.Effect<void>

  /** Waits until the client has closed the connection, and gives the code and the text; 1006 if it did not say any. */
  readonly closedByClient: Effect.Effect<{ readonly code: number; readonly reason: string }>
}

/**
 * A server and all that a test does to it. It answers every URL.
 *
 * @since 0.1.0
 * @category models
 */
export interface TestWebSocket {
  /** What a `WebSocketConnector` is to make its sockets with. */
  readonly layer: Layer.Layer<Socket.WebSocketConstructor>

  /** The next attempts are answered like this, one after the other; those after them by the rest of the script. */
  readonly onNextAttempt: (...answers: ReadonlyArray<Answer>) => Effect.Effect<void>

  /** From now on every attempt is answered like this. Replaces the rest of the script. */
  readonly always: (answer: Answer) => Effect.Effect<void>

  /** The attempts made so far. */
  readonly attempts: Effect.Effect<ReadonlyArray<Attempt>>

  /** The next connection that has not been taken yet, in the order in which they opened; waits for it. */
  readonly accepted: Effect.Effect<Peer>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How the first attempts are answered; those after them are accepted. */
  readonly script?: ReadonlyArray<Answer> | undefined
  /**
   * Which platform the client's sockets are like: `ws`, which can ping, hold the server back, be destroyed, and tells
   * why a server refused; or a browser, which can do none of that. Default: `"ws"`.
   */
  readonly platform?: "ws" | "browser" | undefined
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: (options?: Options) => Effect.Effect<TestWebSocket> = internal.make

/**
 * The connection opens, with this subprotocol if the client offered it.
 *
 * @since 0.1.0
 * @category answers
 */
export const accept: (
  options?: { readonly protocol?: string | undefined; readonly after?: Duration.DurationInput | undefined }
) => Answer = internal.accept

/**
 * The server refuses the upgrade with an HTTP status, and perhaps headers, such as `retry-after`, and a body.
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
 * The connection cannot be opened, for a reason of the system or of TLS: `ECONNREFUSED`, `CERT_HAS_EXPIRED` …
 *
 * @since 0.1.0
 * @category answers
 */
export const fail: (
  code?: string,
  options?: { readonly after?: Duration.DurationInput | undefined }
) => Answer = internal.fail

/**
 * The server accepts the TCP connection, and never answers.
 *
 * @since 0.1.0
 * @category answers
 */
export const hang: Answer = internal.hang
