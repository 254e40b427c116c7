import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import type { TcpAddress } from "../TcpConnector.js"
import { TcpError } from "../TcpError.js"

/** @internal */
export interface Target {
  readonly name: string
  /** What is given to Node: no more than this, or any other field of the address would be an option. */
  readonly address: TcpAddress
}

/**
 * Reads an address, which may come from a file and be anything. Node would throw, or take something else: without a
 * host, the local one.
 *
 * @internal
 */
export const parse = (address: unknown): Either.Either<Target, TcpError> => {
  try {
    return read(address)
  } catch {
    return Either.left(invalid("?", "it cannot be read"))
  }
}

const read = (address: unknown): Either.Either<Target, TcpError> => {
  if (!Predicate.isRecord(address)) return Either.left(invalid("?", "it is not an object"))
  return address.path === undefined ? parseHost(address) : parsePath(address.path)
}

const parsePath = (path: unknown): Either.Either<Target, TcpError> => {
  // An abstract socket of Linux, which has no file, begins with a NUL, and is shown with an @, as `ss` does.
  const name = shown(path).replace(/^\0/, "@")
  if (!Predicate.isString(path)) return Either.left(invalid(name, "the path is not text"))
  if (path === "" || path === "\0") return Either.left(invalid(name, "the path is empty"))
  if (path.includes("\0", 1)) return Either.left(invalid(name, "the path contains a NUL"))
  return Either.right({ name, address: { path } })
}

const parseHost = (address: { readonly [key: string]: unknown }): Either.Either<Target, TcpError> => {
  const { port } = address
  // As in a URL.
  const host = Predicate.isString(address.host) ? address.host.replace(/^\[(.*:.*)\]$/, "$1") : address.host
  // A URL in the place of a host, or a text in that of a port, may be a password or have one in it.
  const isUrl = Predicate.isString(host) && /[/@?#]/.test(host)
  const name = `${(isUrl ? "?" : shown(host)).replace(/^.*:.*$/s, "[$&]")}:${isLong(port) ? "?" : shown(port)}`
  if (!Predicate.isString(host) || isUrl || host === "" || /[\s\0]/.test(host)) {
    return Either.left(invalid(name, "the host is neither a name nor an IP address"))
  }
  if (!Predicate.isNumber(port) || !Number.isInteger(port) || port < 1 || port > 65535) {
    return Either.left(invalid(name, "the port is not a whole number from 1 to 65535"))
  }
  return Either.right({ name, address: { host, port } })
}

const isLong = (port: unknown): boolean => Predicate.isString(port) && port.length > 10

const shown = (value: unknown): string => Predicate.isString(value) || Predicate.isNumber(value) ? String(value) : "?"

/** @internal */
export const invalid = (name: string, description: string): TcpError =>
  new TcpError({ address: name, reason: { _tag: "InvalidAddress", description } })
