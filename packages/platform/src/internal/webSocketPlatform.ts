/**
 * What `ws` has, and the standard does not. What is private of it is asked for by name, and done without where it is
 * missing: other versions, and what Bun and Deno put in its place.
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
 * Has the TCP connection failed? Then `ws` hands on what has been read, unless it is resumed before it does: that drops
 * it.
 *
 * @internal
 */
export const isDestroyed = (socket: object): boolean => partOf(socket, "destroyed") === true

/**
 * How many bytes have been received. `ws` tells of whole messages only, and a long one may take its time.
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
 * Listens for the server's close frame, of which `ws` does not tell: it waits for the end of the TCP connection. The
 * listener goes with the socket.
 *
 * @internal
 */
export const onCloseFrame = (socket: object, listener: () => void): void => {
  const receiver = Predicate.hasProperty(socket, "_receiver") ? socket._receiver : undefined
  if (isEmitter(receiver)) receiver.on("conclude", listener)
}
