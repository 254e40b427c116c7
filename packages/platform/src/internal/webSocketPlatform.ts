/**
 * The features of `ws` that the standard does not have. Private fields may be missing in other versions and in the
 * replacements of Bun and Deno; then these functions do without them.
 */
import * as Predicate from "effect/Predicate"
import { type Emitter, hasMethod, isEmitter } from "./emitter.js"

/** @internal */
export const isPausable = (socket: object): socket is { readonly pause: () => void; readonly resume: () => void } =>
  hasMethod(socket, "pause") && hasMethod(socket, "resume")

/** @internal */
export const isTerminable = (socket: object): socket is { readonly terminate: () => void } =>
  hasMethod(socket, "terminate")

/** @internal */
export const isPingable = (socket: object): socket is Emitter & { readonly ping: (data: string) => void } =>
  hasMethod(socket, "ping") && isEmitter(socket)

/**
 * True if the TCP connection has failed. Then `ws` still delivers the data that it has read. Do not resume such a
 * socket: that would drop the data.
 *
 * @internal
 */
export const isDestroyed = (socket: object): boolean => partOf(socket, "destroyed") === true

/**
 * The number of received bytes. `ws` reports only whole messages, and a long message can take a long time.
 *
 * @internal
 */
export const bytesRead = (socket: object): unknown => partOf(socket, "bytesRead")

/** A property of the TCP socket. */
const partOf = (socket: object, name: string): unknown =>
  Predicate.hasProperty(socket, "_socket") && Predicate.hasProperty(socket._socket, name)
    ? socket._socket[name]
    : undefined

/**
 * Listens for the server's close frame. `ws` itself reports a close only at the end of the TCP connection. The listener
 * is collected together with the socket.
 *
 * @internal
 */
export const onCloseFrame = (socket: object, listener: () => void): void => {
  const receiver = Predicate.hasProperty(socket, "_receiver") ? socket._receiver : undefined
  if (isEmitter(receiver)) receiver.on("conclude", listener)
}
