import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import type { TcpAddress } from "../TcpConnector.js"
import { TcpError } from "../TcpError.js"

/** @internal */
export interface Target {
  readonly name: string
  /** The address for Node. It has no other fields of the input, which Node would read as options. */
  readonly address: TcpAddress
}

/**
 * Checks an address, which may come from a file and have any type. Node would throw, or use a default: without a host,
 * it connects to the local one.
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
  // The path of an abstract socket of Linux begins with a NUL. It is shown as an @, as `ss` does.
  const name = shown(path).replace(/^\0/, "@")
  if (!Predicate.isString(path)) return Either.left(invalid(name, "the path is not a string"))
  if (path === "" || path === "\0") return Either.left(invalid(name, "the path is empty"))
  if (path.includes("\0", 1)) return Either.left(invalid(name, "the path contains a NUL"))
  return Either.right({ name, address: { path } })
}

const parseHost = (address: { readonly [key: string]: unknown }): Either.Either<Target, TcpError> => {
  const { port } = address
  // Accepts an IPv6 address in brackets, as in a URL.
  const host = Predicate.isString(address.host) ? address.host.replace(/^\[(.*:.*)\]$/, "$1") : address.host
  // A URL as the host, or a long text as the port, may contain a password.
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
