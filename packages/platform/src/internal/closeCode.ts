/**
 * Does a connection that ends with this code end in a regular way? Done (1000), going away (1001), and a close frame
 * without a code (1005) say that nothing went wrong; every other code says what did.
 *
 * @internal
 */
export const isRegular = (code: number): boolean => code === 1000 || code === 1001 || code === 1005

/**
 * What a close code means, in a few words (RFC 6455 §7.4 and the IANA registry).
 *
 * @internal
 */
export const meaning = (code: number): string => {
  const text = known[code]
  if (text !== undefined) return text
  if (code >= 4000) return "a code of the application"
  return code >= 3000 ? "a registered code of a library" : "an unknown code"
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
