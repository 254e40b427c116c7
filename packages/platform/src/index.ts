/**
 * The modules that run everywhere. `TcpConnector` needs Node: import it from
 * `@persistent-connection/platform/TcpConnector`.
 *
 * @since 0.1.0
 */
export * as Framing from "./Framing.js"
export * as FramingError from "./FramingError.js"
export * as PersistentSocket from "./PersistentSocket.js"
export * as WebSocketConnector from "./WebSocketConnector.js"
export * as WebSocketError from "./WebSocketError.js"
