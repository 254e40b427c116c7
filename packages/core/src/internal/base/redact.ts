import * as Cause from "effect/Cause"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import { contentKeys } from "./equalContent.js"
import { mapErrors } from "./mapErrors.js"
import { hidden, isPath, redactString, redactText, redactUrl } from "./redactText.js"

const unreadable = "<unreadable>"
const maxDepth = 6
const maxLength = 300

/**
 * An address, of whatever kind, as people, logs and traces may see it: `Redacted` values stay redacted, URLs lose user
 * info, query and fragment, and so do strings that look like one; objects are walked, and what is named like a secret
 * is left out. Never throws.
 *
 * @internal
 */
export const redact = (address: unknown): string => inOneLine(walk(address, []))

const inOneLine = (shown: unknown): string => {
  const text = typeof shown === "string" ? shown : hostAndPort(shown) ?? JSON.stringify(shown) ?? String(shown)
  return text.length > maxLength ? `${text.slice(0, maxLength)}…` : text
}

/** WebSocket subprotocols are the one place in which a browser can put a token. */
const isSecret = (key: unknown): boolean =>
  typeof key === "string" &&
  (/passw|passphrase|pwd|secret|token|authorization|credential|cookie|bearer|jwt|signature|(?:api|access|private)[-_]?key|session[-_]?id/i
    .test(key) || /^(?:auth|key|(?:.*[-_])?pass|pfx|protocols|sid)$/i.test(key))

/** What JSON can show of a value, without its secrets. */
const walk = (value: unknown, path: ReadonlyArray<object>): unknown => {
  try {
    switch (typeof value) {
      case "string":
        return redactString(value)
      case "bigint":
      case "symbol":
        return String(value)
      case "function":
        return "<function>"
      case "object":
        return value === null ? null : walkObject(value, path)
      default:
        return value
    }
  } catch {
    return unreadable
  }
}

const walkObject = (value: object, path: ReadonlyArray<object>): unknown => {
  if (Redacted.isRedacted(value)) return hidden
  if (value instanceof URL) return redactUrl(value)
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return `<${value.byteLength} bytes>`
  if (path.includes(value)) return "<circular>"
  if (path.length === maxDepth) return "<…>"
  const inside = [...path, value]
  if (value instanceof Error) {
    return isSilent(value) ? { _tag: nameOf(value), ...fields(value, inside) } : redactText(String(value))
  }
  if ("toJSON" in value && typeof value.toJSON === "function") return walk(value.toJSON(), inside)
  if (value instanceof Map || value instanceof Set) return walk([...value], inside)
  if (Array.isArray(value)) {
    return value.length === 2 && isSecret(value[0])
      ? [value[0], hidden]
      : value.map((element) => walk(element, inside))
  }
  return fields(value, inside)
}

const fields = (value: object, path: ReadonlyArray<object>): Record<string, unknown> =>
  Object.fromEntries(
    contentKeys(value).map((key) => [key, isSecret(key) ? hidden : walk(Reflect.get(value, key), path)])
  )

/**
 * What an error says, as people, logs and traces may see it: its message, or else its name and what it carries. Never
 * throws.
 *
 * @internal
 */
export const redactMessage = (error: unknown): string => {
  try {
    if (typeof error === "string") return redactText(error)
    if (error instanceof Error && !isSilent(error)) return redactText(error.message)
    const name = nameOf(error)
    if (name === undefined) return redact(error)
    const { _tag, message: _message, name: _name, ...carried } = fields(error as object, [error as object])
    return Object.keys(carried).length === 0 ? name : `${name} ${inOneLine(carried)}`
  } catch {
    return unreadable
  }
}

/** Has it no message, or only the one that Effect gives to such? */
const isSilent = ({ message }: { readonly message: unknown }): boolean =>
  typeof message !== "string" || message === "" || message === "An error has occurred"

const nameOf = (error: unknown): string | undefined => {
  if (Predicate.hasProperty(error, "_tag") && typeof error._tag === "string") return error._tag
  return error instanceof Error ? error.name : undefined
}

/** The most common address of all needs no JSON. */
const hostAndPort = (shown: unknown): string | undefined => {
  if (typeof shown !== "object" || shown === null || Object.keys(shown).length !== 2) return undefined
  if (!("host" in shown && "port" in shown)) return undefined
  const host = String(shown.host)
  return `${host.includes(":") ? `[${host}]` : host}:${String(shown.port)}`
}

/**
 * The host, or the path of a Unix socket, and the port that an address shows. Never throws.
 *
 * @internal
 */
export const endpoint = (address: unknown): { readonly host?: string; readonly port?: number } => {
  try {
    if (typeof address === "string") return endpointOfString(address)
    if (typeof address !== "object" || address === null || Redacted.isRedacted(address)) return {}
    if (address instanceof URL) return endpointOfUrl(address)
    if ("url" in address) return endpoint(address.url)
    if ("path" in address && typeof address.path === "string") return endpointOfString(address.path)
    const host = "host" in address ? address.host : "hostname" in address ? address.hostname : undefined
    if (typeof host !== "string") return {}
    return { host: redactString(host), ...portOf("port" in address ? address.port : undefined) }
  } catch {
    return {}
  }
}

const endpointOfString = (text: string): { readonly host?: string; readonly port?: number } => {
  if (text.includes("://")) return URL.canParse(text) ? endpointOfUrl(new URL(text)) : {}
  if (isPath(text)) return { host: redactString(text) }
  const [, ipv6, name, port] = /^(?:\[([\da-f:.]+)\]|([\w.-]+)):(\d+)(?:$|\/)/i.exec(redactString(text)) ?? []
  const host = ipv6 ?? name
  return host === undefined ? {} : { host, ...portOf(port) }
}

const endpointOfUrl = ({ hostname, port, protocol }: URL): { readonly host?: string; readonly port?: number } =>
  hostname === "" ? {} : { host: hostname.replace(/^\[(.*)\]$/, "$1"), ...portOf(port || defaultPorts.get(protocol)) }

const defaultPorts: ReadonlyMap<string, number> = new Map([["http:", 80], ["ws:", 80], ["https:", 443], ["wss:", 443]])

const portOf = (port: unknown): { readonly port?: number } => {
  const number = typeof port === "string" && port !== "" ? Number(port) : port
  return typeof number === "number" && Number.isInteger(number) ? { port: number } : {}
}

/**
 * A cause as logs and traces may see it: the same, unless its text quotes credentials.
 *
 * @internal
 */
export const redactCause = (cause: Cause.Cause<unknown>): Cause.Cause<unknown> =>
  mapErrors(cause, { error: redactError, defect: redactError })

const redactError = (error: unknown): unknown => {
  if (typeof error !== "object" || error === null) return redactAnew(error)
  const known = redactedErrors.get(error) ?? { error: redactAnew(error) }
  redactedErrors.set(error, known)
  return known.error
}

/** The same error is looked at again and again, as the last cause. */
const redactedErrors = new WeakMap<object, { readonly error: unknown }>()

const redactAnew = (error: unknown): unknown => {
  try {
    const text = Cause.pretty(Cause.fail(error), { renderErrorCause: true })
    if (redactText(text) === text) return error
    const [pretty] = Cause.prettyErrors(Cause.fail(error))
    const copy = new Error(redactMessage(error))
    copy.name = pretty?.name ?? copy.name
    copy.stack = redactText(text)
    return copy
  } catch {
    return new Error(unreadable)
  }
}
