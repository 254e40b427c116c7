import * as Predicate from "effect/Predicate"

/**
 * What an unknown cause says, in a few words. When every address of a host refuses, Node gives an `AggregateError`
 * without a message: then its parts speak.
 *
 * @internal
 */
export const describe = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  if (cause.message !== "") return cause.message
  if (cause instanceof AggregateError && cause.errors.length > 0) return cause.errors.map(describe).join(", ")
  return errorCode(cause) ?? cause.name
}

/**
 * The code of a system error, such as `ECONNREFUSED`.
 *
 * @internal
 */
export const errorCode = (cause: unknown): string | undefined =>
  Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : undefined

/**
 * Is this one of Node's codes for a certificate that does not prove who the server is? These are OpenSSL's names for
 * it, and Node's own for another host's certificate.
 *
 * @internal
 */
export const isCertificateCode = (code: string | undefined): boolean =>
  code !== undefined && (/CERT|^UNABLE_TO_|^INVALID_(?:CA|PURPOSE)$/.test(code) || code === "HOSTNAME_MISMATCH" ||
    code === "PATH_LENGTH_EXCEEDED")

/**
 * A message in one line, whatever a server or a system has put into it: no line of a log but its own, and nothing that
 * a terminal would obey.
 *
 * @internal
 */
export const oneLine = (message: string): string => message.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ").trim()
