/**
 * What stands where something must not be seen.
 *
 * @internal
 */
export const hidden = "<redacted>"

/**
 * A text, such as an error's message, without the credentials that it quotes: those of URLs, `password=…` and the like,
 * what authorizes, tokens. Without any it stays as it is.
 *
 * @internal
 */
export const redactText = (text: string): string =>
  text
    .replace(url, withoutCredentials)
    .replace(userInfo, "")
    .replace(password, `$1${hidden}`)
    .replace(token, `$1${hidden}`)
    .replace(authorization, `$1${hidden}`)
    .replace(bearer, `$1${hidden}`)
    .replace(jsonWebToken, hidden)

/** The look-behinds let each be tried once only in a long word. */
const url = /(?<![a-z\d+.-])[a-z][a-z\d+.-]*:\/\/[^\s"<>`]*/gi
const userInfo = /(?<![\w.%+-])[\w.%+-]+:[^\s@/:]{1,256}@/g
/** What stands for a secret of one of these names. */
const assigned = (names: RegExp, is: RegExp) =>
  new RegExp(`((?<![\\w-])(?:${names.source})(?:${is.source}))(?:"[^"]*"|'[^']*'|[^\\s&;,"'})\\]]+)`, "gi")
const password = assigned(/[\w-]*?(?:password|passwd|passphrase|pwd|secret)|(?:[\w-]*[_-])?pass/, /=|["']? *: */)
/** After a colon without any quotes there is seldom one: "unexpected token: end of input". */
const token = assigned(/[\w-]*?(?:token|api[_-]?key|access[_-]?key|session[_-]?id)/, /=|["'] *: *| *: *(?=["'])/)
/** Whatever the scheme, all of it, up to the end of the line or of the quotes. */
const authorization = /(\bauthorization["']? *[:=] *)(?:"[^"]*"|'[^']*'|[^\r\n"'][^\r\n]*)/gi
const bearer = /(\bbearer\s+)[\w.~+/-]{8,}=*/gi
const jsonWebToken = /\beyJ[\w-]+\.[\w-]+\.[\w-]*/g

const withoutCredentials = (text: string): string => {
  if (/^file:/i.test(text)) return text
  if (!URL.canParse(text)) {
    // A password that should have been encoded can contain anything: what is before the last @ goes first.
    return text.replace(/^([^:]+:\/\/).*@/s, "$1").replace(/[?#].*$/s, "")
  }
  const url = new URL(text)
  return url.username + url.password + url.search + url.hash === "" ? text : redactUrl(url)
}

/**
 * A URL without user info, query and fragment.
 *
 * @internal
 */
export const redactUrl = ({ host, pathname, protocol }: URL): string =>
  // Without a host it is something like `blob:` or `jdbc:`, with another URL in its path.
  host === "" ? redactText(`${protocol}${pathname}`) : `${protocol}//${host}${pathname}`

/**
 * A string that is an address as a whole: a URL, a host and a port, a connection string, the path of a socket.
 *
 * @internal
 */
export const redactString = (text: string): string => {
  if (text.includes("-----BEGIN")) return hidden
  if (/\s/.test(text)) return redactText(text)
  const start = text.search(url)
  if (start !== -1) return redactText(text.slice(0, start) + withoutCredentials(text.slice(start)))
  const withoutUser = isPath(text) ? text : text.replace(/^.*@/, "")
  return redactText(withoutUser.replace(/(?<=.)[?#].*$/, ""))
}

/** @internal */
export const isPath = (text: string): boolean => /^(?:[.~]*\/(?!\/)|[a-z]:\\)/i.test(text)
