/**
 * Replaces what must not be shown.
 *
 * @internal
 */
export const hidden = "<redacted>"

const names = "passw(?:or)?d|passphrase|pwd|secret|token|authorization|credentials?|cookie|bearer|jwt|signature|" +
  "(?:api|access|private)[-_]?key|session[-_]?id"

const secretName = new RegExp(`${names}|^(?:auth|key|(?:.*[-_])?pass|pfx|protocols|sid|urlParams)$`, "i")

/**
 * True for the name of a secret. This includes WebSocket subprotocols, the only place where a browser can put a token.
 *
 * @internal
 */
export const isSecretName = (name: unknown): boolean => typeof name === "string" && secretName.test(name)

/**
 * A text without the user info, query and fragment of its URLs, and without the values of names that look like secrets.
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
/** With any scheme: all of the value, up to the end of the line or of the quotes. */
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
    // A password that is not encoded can contain any character, so everything before the last @ is removed first.
    return text.replace(/^([^:]+:\/\/).*@/s, "$1").replace(/[?#].*$/s, "")
  }
  const { hash, host, password, pathname, protocol, search, username } = new URL(text)
  // Another URL in the path, as in a list, may have its own user info.
  if (pathname.includes("://")) return `${protocol}//${host}/…`
  return username + password + search + hash === "" ? text : `${protocol}//${host}${pathname}`
}
