import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { connectedFigure, reads } from "../src/bench/hot.js"
import { connected, makeBare } from "../src/connections.js"
import { isMet } from "../src/measuring.js"

/** Much longer than any of the operations, so that a busy machine does not hide it. */
const busy = Effect.sync(() => {
  const end = performance.now() + 0.05
  while (performance.now() < end);
})

it.scopedLive("the benchmark sees that the library has become slower", () =>
  Effect.gen(function*() {
    const connection = yield* connected(makeBare)
    const slow = Object.create(connection, { connected: { value: Effect.zipRight(busy, connection.connected) } })
    const measured = connectedFigure(yield* reads(connection, 3, 500))
    const slowed = connectedFigure(yield* reads(slow, 3, 500))
    expect(slowed.value).toBeGreaterThan(3 * measured.value)
    expect(isMet(slowed)).toBe(false)
  }))
