import * as Equal from "effect/Equal"
import * as Predicate from "effect/Predicate"

/**
 * Equality by content: `Equal` where a value defines it, otherwise the same class and the same own properties, and for
 * errors the same name and message, for a `Map` or a `Set` the same entries. Stack traces do not count. Never throws:
 * what cannot be read is different.
 *
 * @internal
 */
export const equalContent = (self: unknown, that: unknown): boolean => {
  try {
    return same(self, that, new Map())
  } catch {
    return false
  }
}

/** What a value has been compared with. Unless that was the same, there is nothing more to compare. */
type Compared = Map<object, Set<object>>

const same = (self: unknown, that: unknown, compared: Compared): boolean => {
  if (Object.is(self, that)) return true
  if (typeof self !== "object" || typeof that !== "object" || self === null || that === null) return false
  if (Object.getPrototypeOf(self) !== Object.getPrototypeOf(that)) return false
  if (self instanceof Error && that instanceof Error) {
    if (self.name !== that.name || self.message !== that.message) return false
  } else if (Equal.equals(self, that)) {
    return true
  } else if (Predicate.isDate(self) || self instanceof URL) {
    return self.toJSON() === (that as Date | URL).toJSON()
  } else if (!Array.isArray(self) && Equal.isEqual(self)) {
    // The value says itself what equal means, and has said no.
    return false
  } else if (isClosedBook(self)) {
    return false
  }
  const known = compared.get(self) ?? new Set()
  if (known.has(that)) return true
  compared.set(self, known.add(that))
  const keys = contentKeys(self)
  return keys.length === contentKeys(that).length &&
    keys.every((key) =>
      Object.hasOwn(that, key) &&
      same(self[key as keyof typeof self], that[key as keyof typeof that], compared)
    ) &&
    (!isCollection(self) || sameEntries(entries(self), entries(that as typeof self), compared))
}

type Collection = ReadonlyMap<unknown, unknown> | ReadonlySet<unknown>

const isCollection = (value: object): value is Collection => value instanceof Map || value instanceof Set

const entries = (collection: Collection): ReadonlyMap<unknown, unknown> => new Map(collection.entries())

/** Keys that both have count in any order; the others can only be compared in theirs. */
const sameEntries = (
  self: ReadonlyMap<unknown, unknown>,
  that: ReadonlyMap<unknown, unknown>,
  compared: Compared
): boolean => {
  const own = (one: typeof self, other: typeof self) => [...one].filter(([key]) => !other.has(key))
  return [...self].every(([key, value]) => !that.has(key) || same(value, that.get(key), compared)) &&
    same(own(self, that), own(that, self), compared)
}

/** What a buffer or an instance with private fields holds does not show in its properties. */
const isClosedBook = (value: object): boolean => {
  if (isCollection(value)) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype !== Object.prototype && prototype !== Array.prototype && prototype !== null &&
    Object.keys(value).length === 0
}

/**
 * The properties that are a value's content; of errors also those that are not enumerable.
 *
 * @internal
 */
export const contentKeys = (value: object): ReadonlyArray<string> => {
  if (!(value instanceof Error)) return Object.keys(value)
  // These are not enumerable; `errors` is that of an `AggregateError`.
  const hidden = ["cause", "errors"].filter((key) => Object.hasOwn(value, key))
  return [...new Set([...Object.keys(value), ...hidden])].filter((key) => key !== "stack")
}
