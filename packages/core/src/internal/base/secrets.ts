/**
 * What stands where something must not be seen.
 *
 * @internal
 */
export const hidden = "<redacted>"

const names = "passw(?:or)?d|passphrase|pwd|secret|token|authorization|credentials?|cookie|bearer|jwt|signature|" +
  "(?:api|access|private)[-_]?key|session[-_]?id"

const secretName = new RegExp(`${names}|^(?:auth|key|(?:.*[-_])?pass|pfx|protocols|sid|urlParams)$`, "i")

/**
 * Is it the name of a secret? WebSocket subprotocols are the one place in which a browser can put a token.
 *
 * @internal
 */
export const isSecretName = (name: unknown): boolean => typeof name === "string" && secretName.test(name)

/**
 * A text without the user info, query and fragment of the URLs in it, and without the values of what it calls a secret.
 *
 * @internal
 */
export const hideSecrets = (text: string): string =>
  text
    .replace(url, withoutCredentials)
    .replace(userInfo, "")
    .replace(authorization, `$1${hidden}`)
    .replace(bearer, `$1${hidden}`)
    .replace(jsonWebToken, hidden)
    .replace(named, `$1${hidden}`)

// The look-behinds and the limits keep the time linear in the length of the text.
const url = /(?<![a-z\d+.-])[a-z][a-z\d+.-]*:\/\/[^\s"<>`]*/gi
/** Without a scheme: `user:password@`. */
const userInfo = /(?<![^\s"'<>(,=])[^\s:@/"'<>(,=]{1,256}:(?!\/\/)[^\s"<>]{0,256}@/g
/** Whatever the scheme, all of it, up to the end of the line or of the quotes. */
const authorization = /(\b(?:authorization|cookie)["']? *[:=] *)(?:"[^"]*"|'[^']*'|[^\r\n"'][^\r\n]*)/gi
const bearer = /(\bbearer\s+)[\w.~+/-]{8,}=*/gi
const jsonWebToken = /\beyJ[\w-]+\.[\w-]+\.[\w-]*/g
/** `name=value` and `name: value`, with quotes or without; but "invalid token: it has expired" is prose. */
const named = new RegExp(
  `((?<![\\w-])(?:[\\w-]*?(?:${names})|(?:[\\w-]*[_-])?pass)(?:["']? ?=|["'] ?:|(?<!token):|:(?= ?["'])) {0,8})` +
    `(?:"[^"]*"|'[^']*'|[^\\s&;,"'})\\]]+)`,
  "gi"
)

const withoutCredentials = (text: string): string => {
  if (!URL.canParse(text)) {
    // A password that should have been encoded can contain anything: what is before the last @ goes first.
    return text.replace(/^([^:]+:\/\/).*@/s, "$1").replace(/[?#].*$/s, "")
  }
  const { hash, host, password, pathname, protocol, search, username } = new URL(text)
  // Another URL in the path, as in a list, has its own user info.
  if (pathname.includes("://")) return `${protocol}//${host}/…`
  return username + password + search + hash === "" ? text : `${protocol}//${host}${pathname}`
}
