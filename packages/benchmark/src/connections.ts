import type * as Socket from "@effect/platform/Socket"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import type * as TcpConnector from "@persistent-connection/platform/TcpConnector"
import * as WebSocketConnector from "@persistent-connection/platform/WebSocketConnector"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { WebSocket } from "ws"

/** Unlike `Effect.never`, it adds no timer. */
export const never: Effect.Effect<never> = Effect.async<never>((_) => {})

/** A connector that holds almost nothing: the measurement shows the share of the library. */
const bareConnector = Connector.make({
  connect: () => Effect.succeed({}),
  closed: () => never
})

/** A persistent connection without a transport, not yet connected. */
export const makeBare = PersistentConnection.make({
  serverName: "bare",
  address: Effect.succeed("a:1"),
  connector: bareConnector
})

/** Makes a persistent connection, and waits until it is connected. */
export const connected = <C, E, E2, R>(
  make: Effect.Effect<PersistentConnection.PersistentConnection<C, E>, E2, R>
): Effect.Effect<PersistentConnection.PersistentConnection<C, E>, E2, R> =>
  Effect.tap(make, (connection) => connection.connected)

export const webSockets = WebSocketConnector.layerWs(WebSocket)

/** A persistent WebSocket, which makes every attempt at once. */
export const makeWebSocket = <E>(
  url: string,
  connector: Connector.Connector<
    WebSocketConnector.WebSocketAddress,
    WebSocketConnector.WebSocketConnection,
    E,
    Socket.WebSocketConstructor
  >
): Effect.Effect<
  PersistentConnection.PersistentConnection<WebSocketConnector.WebSocketConnection, E>,
  never,
  Scope.Scope | Socket.WebSocketConstructor
> =>
  PersistentConnection.make({ serverName: "server", address: Effect.succeed(url), connector, retry: Schedule.forever })

/** A persistent TCP connection, which makes every attempt at once. */
export const makeTcp = <Connection, E>(
  port: number,
  connector: Connector.Connector<TcpConnector.TcpAddress, Connection, E>
): Effect.Effect<PersistentConnection.PersistentConnection<Connection, E>, never, Scope.Scope> =>
  PersistentConnection.make({
    serverName: "server",
    address: Effect.succeed({ host: "127.0.0.1", port }),
    connector,
    retry: Schedule.forever
  })
