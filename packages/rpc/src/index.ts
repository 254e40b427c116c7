/**
 * @since 0.1.0
 */
export * as PersistentRpcClient from "./PersistentRpcClient.js"
export * as RpcAnnotation from "./RpcAnnotation.js"
export * as RpcConnector from "./RpcConnector.js"
export * as RpcError from "./RpcError.js"
export * as RpcMenu from "./RpcMenu.js"
export * as RpcProtocol from "./RpcProtocol.js"
