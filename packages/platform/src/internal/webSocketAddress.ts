import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import type { WebSocketAddress } from "../WebSocketConnector.js"
import { WebSocketError } from "../WebSocketError.js"
import { describe } from "./describe.js"

/** @internal */
export interface Target {
  /** What is given to the platform. */
  readonly url: string
  readonly protocols: string | Array<string> | undefined
  /** What may be shown to people and logs. */
  readonly redacted: string
}

/** @internal */
export const parse = (address: WebSocketAddress): Either.Either<Target, WebSocketError> => {
  const detailed = typeof address === "object" && "url" in address ? address : { url: address, protocols: undefined }
  const raw = String(detailed.url)
  const invalid = (description: string) =>
    Either.left(
      new WebSocketError({ url: withoutSecrets(raw), reason: { _tag: "InvalidAddress", description } })
    )
  if (!URL.canParse(raw)) return invalid("it is not an absolute URL")
  const url = new URL(raw)
  if (url.protocol !== "ws:" && url.protocol !== "wss:") return invalid("its scheme must be ws or wss")
  if (url.href.includes("#")) return invalid("it must not have a fragment")
  const protocols = detailed.protocols
  return Either.right({
    url: url.href,
    protocols: protocols === undefined || typeof protocols === "string" ? protocols : [...protocols],
    redacted: `${url.protocol}//${url.host}${url.pathname}`
  })
}

/**
 * What may be shown of an address that is none: nothing that could be its user, password, query or fragment.
 */
const withoutSecrets = (raw: string): string =>
  // A password that should have been encoded can contain anything: what is before the last @ goes first.
  raw.replace(/^([a-z][a-z\d+.-]*:\/\/)?.*@/is, "$1").replace(/[?#].*$/s, "")

/**
 * What the platform threw instead of making a socket: a `SyntaxError` for the address. The text is all that is kept of
 * it, without the address, which it likes to quote.
 *
 * @internal
 */
export const refused = (target: Target, cause: unknown): WebSocketError => {
  const text = describe(cause).replaceAll(target.url, target.redacted)
  const isAddress = Predicate.hasProperty(cause, "name") && cause.name === "SyntaxError"
  return new WebSocketError({
    url: target.redacted,
    reason: isAddress ? { _tag: "InvalidAddress", description: text } : { _tag: "OpenFailed", cause: text }
  })
}
