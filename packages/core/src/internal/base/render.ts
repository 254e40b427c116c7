/**
 * The only module that turns an error, a cause or an address into text, for people, logs, traces and comparisons.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import { mapErrors } from "./mapErrors.js"
import { hidden, hideSecrets, isSecretName } from "./secrets.js"

const unreadable = "<unreadable>"
/** The depth limit for nested objects, and for causes behind causes. */
const maxDepth = 5
const maxCauses = 20
const maxLength = 500

/**
 * The full text of a cause, in one line. For each failure and each defect it has the message, or else the tag and the
 * fields, and then the causes behind it. Defects are marked. There are no stacks, and no fiber, span or trace ids.
 * Never throws.
 *
 * It hides the user info, query and fragment of URLs, headers, bytes, `Redacted` values, and the value of every name
 * that looks like a secret (`password`, `token`, `authorization`, `cookie`, `apiKey` …): a field, or `name=value` or
 * `name: value` in a text.
 *
 * @internal
 */
export const renderCause = (cause: Cause.Cause<unknown>): string => {
  if (Cause.isEmpty(cause)) return "a close without an error"
  const texts = [
    ...Array.from(Cause.failures(cause), renderError),
    ...Array.from(Cause.defects(cause), (defect) => `defect: ${renderError(defect)}`)
  ]
  return texts.length === 0 ? "an interruption" : texts.join("; ")
}

/**
 * The text of a cause, shortened to fit a message.
 *
 * @internal
 */
export const summary = (cause: Cause.Cause<unknown>): string => shorten(renderCause(cause))

/**
 * The text of an address, or any other value, in one line that fits a message. Hides the same secrets. Never throws.
 *
 * @internal
 */
export const render = (value: unknown): string => shorten(oneLine(textOfData(dataOf(value, []))))

/**
 * A cause that loggers and tracers may hold: the same structure, with errors that have only their names and texts.
 *
 * @internal
 */
export const printableCause = (cause: Cause.Cause<unknown>): Cause.Cause<Error> =>
  mapErrors(cause, { error: printableError, defect: printableError })

const property = (value: string) => ({ value, configurable: true, writable: true })

const printableError = (error: unknown): Error => {
  const message = shorten(renderError(error))
  const name = readable(() => nameOf(error) ?? "Error", "Error")
  return Object.defineProperties(new Error(message), {
    name: property(name),
    stack: property(`${name}: ${message}`)
  })
}

const oneLine = (text: string): string => text.replace(/[\s\p{Cc}]+/gu, " ").trim()

const shorten = (text: string): string => text.length > maxLength ? `${text.slice(0, maxLength - 1)}…` : text

const readable = <A>(read: () => A, otherwise: A): A => {
  try {
    return read()
  } catch {
    return otherwise
  }
}

const renderError = (error: unknown): string => readable(() => oneLine(textOf(error, [])), unreadable)

/** Many errors end with the text of their cause, which is not repeated. */
const textOf = (error: unknown, path: ReadonlyArray<object>, before = ""): string => {
  if (typeof error !== "object" || error === null) return textOfData(dataOf(error, path))
  if (path.includes(error) || path.length >= maxCauses) return ""
  const inside = [...path, error]
  const own = ownText(error, inside)
  const behind = Arr.dedupe(causesOf(error).map((cause) => textOf(cause, inside, own)))
  const texts = [before.endsWith(own) ? "" : own, behind.filter((text) => text !== "").join("; ")]
  return texts.filter((text) => text !== "").join(": ")
}

const ownText = (error: object, inside: ReadonlyArray<object>): string => {
  if (Predicate.hasProperty(error, "message") && typeof error.message === "string" && error.message.trim() !== "") {
    return hideSecrets(error.message)
  }
  const name = nameOf(error)
  if (name === undefined) return textOfData(dataOf(error, inside.slice(0, -1)))
  const fields = fieldsOf(error, inside, ["_tag", "name", "message", "cause", "errors"])
  return Object.keys(fields).length === 0 ? name : `${name} ${JSON.stringify(fields)}`
}

const nameOf = (error: unknown): string | undefined => {
  if (Predicate.hasProperty(error, "_tag") && typeof error._tag === "string") return error._tag
  return error instanceof Error ? error.name : undefined
}

/** An `AggregateError` has several causes. */
const causesOf = (error: object): ReadonlyArray<unknown> => {
  const { cause, errors }: { readonly cause?: unknown; readonly errors?: unknown } = error
  const all = [cause, ...error instanceof Error && Array.isArray(errors) ? errors : []]
  return all
    .filter(Predicate.isNotNullable)
    .flatMap((one) => Cause.isCause(one) ? [...Cause.failures(one), ...Cause.defects(one)] : [one])
}

const textOfData = (data: unknown): string =>
  typeof data === "string" ? data : hostAndPort(data) ?? JSON.stringify(data) ?? String(data)

/** The most common address needs no JSON. */
const hostAndPort = (data: unknown): string | undefined => {
  if (typeof data !== "object" || data === null || Object.keys(data).length !== 2) return undefined
  if (!("host" in data && "port" in data)) return undefined
  const host = String(data.host)
  return `${host.includes(":") ? `[${host}]` : host}:${String(data.port)}`
}

/** The part of a value that JSON can show. */
const dataOf = (value: unknown, path: ReadonlyArray<object>): unknown => {
  switch (typeof value) {
    case "string":
      return hideSecrets(value)
    case "bigint":
    case "symbol":
      return String(value)
    case "function":
      return "<function>"
    case "object":
      return value === null ? null : readable(() => dataOfObject(value, path), unreadable)
    default:
      return value
  }
}

const dataOfObject = (value: object, path: ReadonlyArray<object>): unknown => {
  if (Redacted.isRedacted(value)) return hidden
  if (value instanceof URL) return hideSecrets(value.href)
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return `<${value.byteLength} bytes>`
  if (path.includes(value)) return "<circular>"
  if (path.length >= maxDepth) return "<…>"
  if (Cause.isCause(value)) return renderCause(value)
  if (value instanceof Error) return textOf(value, path)
  const inside = [...path, value]
  if ("toJSON" in value && typeof value.toJSON === "function") return dataOf(value.toJSON(), inside)
  if (value instanceof Map || value instanceof Set) return dataOf([...value], inside)
  if (!Array.isArray(value)) return fieldsOf(value, inside)
  const [name] = value
  return value.length === 2 && isSecretName(name) ? [name, hidden] : value.map((element) => dataOf(element, inside))
}

const fieldsOf = (
  value: object,
  inside: ReadonlyArray<object>,
  except: ReadonlyArray<string> = []
): Record<string, unknown> =>
  Object.fromEntries(
    Object.keys(value)
      .filter((key) => !isLeftOut(key) && !except.includes(key))
      .map((key) => [key, isSecretName(key) ? hidden : dataOf(Reflect.get(value, key), inside)])
  )

const isLeftOut = (key: string): boolean => /^(?:stack|fiberId|spanId|traceId)$|headers?$/i.test(key)
