import * as Equal from "effect/Equal"

/**
 * Equality of addresses (C4): by `Equal` if a value defines it; dates and URLs by their value; otherwise by class and
 * own properties, or, for a `Map` or `Set`, by the entries in their order. Never throws: values that cannot be read, or
 * do not show their content, are different.
 *
 * (`Equal.equals` of effect 4 does this by itself.)
 *
 * @internal
 */
export const equalContent = (self: unknown, that: unknown): boolean => {
  try {
    return isSame(self, that, new Map())
  } catch {
    return false
  }
}

const isSame = (self: unknown, that: unknown, compared: Map<object, object>): boolean => {
  if (Object.is(self, that) || Equal.equals(self, that)) return true
  if (typeof self !== "object" || typeof that !== "object" || self === null || that === null) return false
  if (Object.getPrototypeOf(self) !== Object.getPrototypeOf(that) || Equal.isEqual(self)) return false
  // For a value that contains itself, or the same value many times.
  if (compared.get(self) === that) return true
  compared.set(self, that)
  if ((self instanceof Map && that instanceof Map) || (self instanceof Set && that instanceof Set)) {
    return isSame([...self], [...that], compared)
  }
  const keys = Object.keys(self)
  const others = Object.keys(that)
  if (keys.length === 0 && !isPlain(self)) return false
  return keys.length === others.length &&
    keys.every((key) => Object.hasOwn(that, key) && isSame(Reflect.get(self, key), Reflect.get(that, key), compared))
}

const isPlain = (value: object): boolean =>
  [Object.prototype, Array.prototype, null].includes(Object.getPrototypeOf(value))
