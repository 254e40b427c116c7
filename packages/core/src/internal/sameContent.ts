import * as Equal from "effect/Equal"
import * as Predicate from "effect/Predicate"

/**
 * Equality by content: `Equal` where a value defines it, otherwise the same class and the same own properties, and for
 * errors the same name and message. Stack traces do not count. Never throws: what cannot be read is different.
 *
 * @internal
 */
export const sameContent = (self: unknown, that: unknown): boolean => {
  try {
    return same(self, that, [])
  } catch {
    return false
  }
}

const same = (self: unknown, that: unknown, path: ReadonlyArray<readonly [object, object]>): boolean => {
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
  // Values that contain themselves have nothing new to say further down.
  if (path.some(([left, right]) => left === self && right === that)) return true
  const inside = [...path, [self, that] as const]
  const keys = contentKeys(self)
  return keys.length === contentKeys(that).length &&
    keys.every((key) =>
      Object.hasOwn(that, key) &&
      same(self[key as keyof typeof self], that[key as keyof typeof that], inside)
    )
}

/** What a `Map`, a buffer or an instance with private fields holds does not show in its properties. */
const isClosedBook = (value: object): boolean => {
  const prototype = Object.getPrototypeOf(value)
  return prototype !== Object.prototype && prototype !== Array.prototype && prototype !== null &&
    Object.keys(value).length === 0
}

const contentKeys = (value: object): ReadonlyArray<string> => {
  if (!(value instanceof Error)) return Object.keys(value)
  // These are not enumerable; `errors` is that of an `AggregateError`.
  const hidden = ["cause", "errors"].filter((key) => Object.hasOwn(value, key))
  return [...new Set([...Object.keys(value), ...hidden])].filter((key) => key !== "stack")
}
