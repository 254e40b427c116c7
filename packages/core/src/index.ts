/**
 * All modules. To keep the others out of a bundle, import one module alone:
 * `@persistent-connection/core/PersistentConnection`.
 *
 * @since 0.1.0
 */
export * as Addresses from "./Addresses.js"
export * as ConnectionError from "./ConnectionError.js"
export * as ConnectionEvent from "./ConnectionEvent.js"
export * as ConnectionLog from "./ConnectionLog.js"
export * as ConnectionMap from "./ConnectionMap.js"
export * as ConnectionMetrics from "./ConnectionMetrics.js"
export * as ConnectionState from "./ConnectionState.js"
export * as ConnectionStatus from "./ConnectionStatus.js"
export * as Connector from "./Connector.js"
export * as Inspect from "./Inspect.js"
export * as Options from "./Options.js"
export * as PersistentConnection from "./PersistentConnection.js"
export * as RetryPolicy from "./RetryPolicy.js"
