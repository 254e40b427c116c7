import { describe, errorCode } from "./describe.js"

/**
 * Removes possible secrets from the URLs in a text of the platform: user, password, query and fragment.
 *
 * @internal
 */
export const withoutSecrets = (text: string): string =>
  text.slice(0, longest).replace(/\/\/\S*@/g, "//").replace(/[?#]\S+/g, "")

/** A limit, because a server can influence the text, and the time of the replacement grows quadratically. */
const longest = 1_000

/**
 * A copy of a platform error with only its name, code and text. Node's errors also hold the bytes concerned and the
 * request.
 *
 * @internal
 */
export const harmless = (cause: unknown): unknown => {
  const text = withoutSecrets(describe(cause))
  if (!(cause instanceof Error)) return text
  const code = errorCode(cause)
  return Object.assign(new Error(text), { name: cause.name }, code === undefined ? {} : { code })
}
