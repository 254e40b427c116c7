/**
 * True if the code means a regular close: 1000 (done), 1001 (going away) or 1005 (a close frame without a code). Every
 * other code reports an error.
 *
 * @internal
 */
export const isRegular = (code: number): boolean => code === 1000 || code === 1001 || code === 1005

/**
 * The meaning of a close code in a few words (RFC 6455 §7.4 and the IANA registry).
 *
 * @internal
 */
export const meaning = (code: number): string => {
  const text = known[code]
  if (text !== undefined) return text
  if (code >= 4000) return "application code"
  return code >= 3000 ? "registered library code" : "unknown code"
}

const known: { readonly [code: number]: string } = {
  1000: "normal closure",
  1001: "going away",
  1002: "protocol error",
  1003: "unsupported data",
  1005: "no code given",
  1006: "connection lost without a close frame",
  1007: "invalid data in a message",
  1008: "policy violation",
  1009: "message too big",
  1010: "missing extension",
  1011: "internal error",
  1012: "service restart",
  1013: "try again later",
  1014: "bad gateway",
  1015: "TLS failure",
  3000: "unauthorized",
  3003: "forbidden",
  3008: "timeout"
}
