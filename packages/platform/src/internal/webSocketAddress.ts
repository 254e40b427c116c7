import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import type { WebSocketAddress } from "../WebSocketConnector.js"
import { WebSocketError } from "../WebSocketError.js"
import { describe } from "./describe.js"
import { withoutSecrets } from "./secrets.js"

/** @internal */
export interface Target {
  /** The URL for the platform, with its secrets. */
  readonly url: string
  readonly protocols: string | Array<string> | undefined
  /** The URL for messages and logs, without secrets. */
  readonly redacted: string
}

/**
 * Checks an address, which may come from a file and have any type.
 *
 * @internal
 */
export const parse = (address: WebSocketAddress): Either.Either<Target, WebSocketError> => {
  try {
    return read(address)
  } catch {
    return Either.left(
      new WebSocketError({ url: notUrl, reason: { _tag: "InvalidAddress", description: "it cannot be read" } })
    )
  }
}

const read = (address: WebSocketAddress): Either.Either<Target, WebSocketError> => {
  const { protocols, url: given } = Predicate.hasProperty(address, "url")
    ? address
    : { url: address, protocols: undefined }
  const raw = Predicate.hasProperty(given, "href") ? given.href : given
  const invalid = (description: string) =>
    Either.left(new WebSocketError({ url: shown(raw), reason: { _tag: "InvalidAddress", description } }))
  if (!Predicate.isString(raw)) return invalid("it is neither a string nor a URL")
  if (!URL.canParse(raw)) return invalid("it is not an absolute URL")
  const url = new URL(raw)
  if (url.protocol !== "ws:" && url.protocol !== "wss:") return invalid("its scheme must be ws or wss")
  if (url.href.includes("#")) return invalid("it must not have a fragment")
  if (!areProtocols(protocols)) return invalid("its protocols are neither a string nor an array of strings")
  return Either.right({
    url: url.href,
    protocols: protocols === undefined || Predicate.isString(protocols) ? protocols : [...protocols],
    redacted: shownUrl(url)
  })
}

const areProtocols = (protocols: unknown): boolean =>
  protocols === undefined || Predicate.isString(protocols) ||
  Array.isArray(protocols) && protocols.every(Predicate.isString)

/** The text for an invalid address. Shows no part of the address if one could be a misplaced secret. */
const shown = (raw: unknown): string => {
  // A password with an unencoded ? or # may end at the @.
  if (!Predicate.isString(raw) || /[?#].*@/s.test(raw)) return notUrl
  if (URL.canParse(raw)) return shownUrl(new URL(raw))
  return /^[a-z][a-z\d+.-]*:\/\/[^@?#]*(?=[^@]*$)/i.exec(raw)?.[0] ?? notUrl
}

const shownUrl = (url: URL): string => url.host === "" ? notUrl : `${url.protocol}//${url.host}${url.pathname}`

const notUrl = "<not a URL>"

/**
 * The error for an exception of the WebSocket constructor: a `SyntaxError` means that the URL or a subprotocol is
 * invalid. Keeps only the text, without the secrets of the URL and without the subprotocols.
 *
 * @internal
 */
export const refused = (target: Target, cause: unknown): WebSocketError => {
  const text = withoutSecrets(describe(cause).replaceAll(target.url, target.redacted))
  const isSyntax = Predicate.hasProperty(cause, "name") && cause.name === "SyntaxError"
  const isProtocol = isSyntax && target.protocols !== undefined && /protocol/i.test(text)
  const description = isProtocol ? "the platform refused the subprotocols" : text
  return new WebSocketError({
    url: target.redacted,
    reason: isSyntax ? { _tag: "InvalidAddress", description } : { _tag: "OpenFailed", cause: text }
  })
}
