/**
 * How much something keeps alive.
 */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

/** How many objects can be reached from a value, by their properties and as elements of collections. */
export const objectsReachableFrom = (root: object): number => {
  const seen = new Set<object>([root])
  const queue = [root]
  const add = (value: unknown) => {
    if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) return
    seen.add(value)
    queue.push(value)
  }
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (const key of Reflect.ownKeys(next)) {
      const property = Reflect.getOwnPropertyDescriptor(next, key)
      if (property !== undefined && "value" in property) add(property.value)
    }
    if (next instanceof Map) next.forEach((value, key) => (add(key), add(value)))
    else if (next instanceof Set) next.forEach(add)
  }
  return seen.size
}

setFlagsFromString("--expose-gc")
export const collectGarbage = runInNewContext("gc") as () => void

/** The bytes in use after collecting garbage. */
export const heapUsed = (): number => {
  collectGarbage()
  collectGarbage()
  return process.memoryUsage().heapUsed
}
