import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import type { WebSocketAddress } from "../WebSocketConnector.js"
import { WebSocketError } from "../WebSocketError.js"
import { describe } from "./describe.js"
import { withoutSecrets } from "./secrets.js"

/** @internal */
export interface Target {
  /** What is given to the platform. */
  readonly url: string
  readonly protocols: string | Array<string> | undefined
  /** What may be shown to people and logs. */
  readonly redacted: string
}

/**
 * Reads an address, which may come from a file and be anything.
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
  if (!Predicate.isString(raw)) return invalid("it is neither text nor a URL")
  if (!URL.canParse(raw)) return invalid("it is not an absolute URL")
  const url = new URL(raw)
  if (url.protocol !== "ws:" && url.protocol !== "wss:") return invalid("its scheme must be ws or wss")
  if (url.href.includes("#")) return invalid("it must not have a fragment")
  if (!areProtocols(protocols)) return invalid("its protocols are neither text nor a list of texts")
  return Either.right({
    url: url.href,
    protocols: protocols === undefined || Predicate.isString(protocols) ? protocols : [...protocols],
    redacted: shownUrl(url)
  })
}

const areProtocols = (protocols: unknown): boolean =>
  protocols === undefined || Predicate.isString(protocols) ||
  Array.isArray(protocols) && protocols.every(Predicate.isString)

/**
 * The text to show for an invalid address: nothing of it, if any part could be a misplaced secret.
 */
const shown = (raw: unknown): string => {
  // The @ may end a password that should have been encoded.
  if (!Predicate.isString(raw) || /[?#].*@/s.test(raw)) return notUrl
  if (URL.canParse(raw)) return shownUrl(new URL(raw))
  return /^[a-z][a-z\d+.-]*:\/\/[^@?#]*(?=[^@]*$)/i.exec(raw)?.[0] ?? notUrl
}

const shownUrl = (url: URL): string => url.host === "" ? notUrl : `${url.protocol}//${url.host}${url.pathname}`

const notUrl = "<not a URL>"

/**
 * What the platform threw instead of making a socket: a `SyntaxError` for the address or the subprotocols. The text is
 * all that is kept of it, and without both, which it likes to quote.
 *
 * @internal
 */
export const refused = (target: Target, cause: unknown): WebSocketError => {
  const text = withoutSecrets(describe(cause).replaceAll(target.url, target.redacted))
  const isSyntax = Predicate.hasProperty(cause, "name") && cause.name === "SyntaxError"
  const isProtocol = isSyntax && target.protocols !== undefined && /protocol/i.test(text)
  const description = isProtocol ? "the platform refuses a subprotocol, or one that is there twice" : text
  return new WebSocketError({
    url: target.redacted,
    reason: isSyntax ? { _tag: "InvalidAddress", description } : { _tag: "OpenFailed", cause: text }
  })
}
