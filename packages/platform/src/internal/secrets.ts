import { describe, errorCode } from "./describe.js"

/**
 * A text of the platform without what may be secret in the URLs that it quotes: user, password, query and fragment.
 *
 * @internal
 */
export const withoutSecrets = (text: string): string =>
  text.slice(0, longest).replace(/\/\/\S*@/g, "//").replace(/[?#]\S+/g, "")

/** A server may have a say in it, and how long it takes grows with the square. */
const longest = 1_000

/**
 * What is kept of an error of the platform: its name, code and text. Node's own carry the bytes that they are about,
 * and the request.
 *
 * @internal
 */
export const harmless = (cause: unknown): unknown => {
  const text = withoutSecrets(describe(cause))
  if (!(cause instanceof Error)) return text
  const code = errorCode(cause)
  return Object.assign(new Error(text), { name: cause.name }, code === undefined ? {} : { code })
}
