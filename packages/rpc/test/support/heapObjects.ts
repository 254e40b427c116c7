/** Measures the heap without machine code, which grows for long while V8 optimizes. */
import { getHeapSnapshot } from "node:v8"
import { collectGarbage } from "../../../core/test/support/size.js"

interface Snapshot {
  readonly snapshot: {
    readonly meta: { readonly node_fields: ReadonlyArray<string>; readonly node_types: ReadonlyArray<unknown> }
  }
  readonly nodes: ReadonlyArray<number>
}

const takeSnapshot = async (): Promise<Snapshot> => {
  const parts: Array<string> = []
  for await (const part of getHeapSnapshot()) parts.push(String(part))
  return JSON.parse(parts.join(""))
}

/** The bytes of all objects, arrays, functions and strings that are reachable, without code and what belongs to it. */
export const heapOfObjects = async (): Promise<number> => {
  // A WeakRef retains its target until the end of the turn in which it was created or read.
  await new Promise((resolve) => setImmediate(resolve))
  collectGarbage()
  const { nodes, snapshot: { meta } } = await takeSnapshot()
  const [type, size] = [meta.node_fields.indexOf("type"), meta.node_fields.indexOf("self_size")]
  const types = meta.node_types[type] as ReadonlyArray<string>
  const isCounted = types.map((name) => name !== "code" && name !== "hidden" && name !== "object shape")
  let bytes = 0
  for (let node = 0; node < nodes.length; node += meta.node_fields.length) {
    if (isCounted[nodes[node + type]!]) bytes += nodes[node + size]!
  }
  return bytes
}
