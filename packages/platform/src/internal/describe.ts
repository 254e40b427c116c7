import * as Predicate from "effect/Predicate"

/**
 * The text of an unknown cause. When every address of a host refuses, Node reports an `AggregateError` without a
 * message; then the text lists its parts.
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
 * True if the code means that the certificate of the server was refused. The names come from OpenSSL; Node adds its own
 * for a certificate of another host.
 *
 * @internal
 */
export const isCertificateCode = (code: string | undefined): boolean =>
  code !== undefined && (/CERT|^UNABLE_TO_|^INVALID_(?:CA|PURPOSE)$/.test(code) || code === "HOSTNAME_MISMATCH" ||
    code === "PATH_LENGTH_EXCEEDED")

/**
 * The message on one line, without control characters: a text from the server can neither forge a line of a log nor
 * control the terminal.
 *
 * @internal
 */
export const oneLine = (message: string): string => message.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ").trim()
