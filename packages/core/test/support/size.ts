/** Measures how much memory a value retains. */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

/** The number of objects that are reachable from a value through properties and elements of collections. */
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

/** The heap size in bytes after a garbage collection. */
export const heapUsed = (): number => {
  collectGarbage()
  collectGarbage()
  return process.memoryUsage().heapUsed
}
