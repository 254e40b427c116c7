import * as Equal from "effect/Equal"

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

const same = (self: unknown, that: unknown, path: ReadonlyArray<object>): boolean => {
  if (Object.is(self, that)) return true
  if (typeof self !== "object" || typeof that !== "object" || self === null || that === null) return false
  if (Object.getPrototypeOf(self) !== Object.getPrototypeOf(that)) return false
  if (self instanceof Error && that instanceof Error) {
    if (self.name !== that.name || self.message !== that.message) return false
  } else if (Equal.equals(self, that)) {
    return true
  } else if (self instanceof Date || self instanceof URL) {
    return self.toJSON() === (that as Date | URL).toJSON()
  } else if (!Array.isArray(self) && Equal.isEqual(self)) {
    // The value says itself what equal means, and has said no.
    return false
  }
  // A value that contains itself has nothing new to say further down.
  if (path.includes(self)) return true
  const inside = [...path, self]
  const keys = contentKeys(self)
  return keys.length === contentKeys(that).length &&
    keys.every((key) =>
      Object.hasOwn(that, key) &&
      same(self[key as keyof typeof self], that[key as keyof typeof that], inside)
    )
}

const contentKeys = (value: object): ReadonlyArray<string> =>
  value instanceof Error
    ? [...new Set([...Object.keys(value), ...("cause" in value ? ["cause"] : [])])].filter((key) => key !== "stack")
    : Object.keys(value)
