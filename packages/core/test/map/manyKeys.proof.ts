import { expect, it } from "@effect/vitest"
import * as ConnectionMap from "@persistent-connection/core/ConnectionMap"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { cases } from "../support/proof.js"
import { connected, makeDevices } from "./devices.js"

const total = cases(500, 10_000)

it.live(`a map of ${total} keys connects and releases them all`, () =>
  Effect.gen(function*() {
    const { devices, options } = makeDevices()
    const scope = yield* Scope.make()
    const map = yield* Scope.extend(ConnectionMap.make({ options, maxConcurrentConnects: 100 }), scope)
    for (let key = 0; key < total; key++) yield* Scope.extend(ConnectionMap.get(map, `${key}`), scope)
    yield* Effect.forEach(Array.from({ length: total }, (_, key) => `${key}`), (key) =>
      Effect.scoped(connected(map, key)))
    expect(devices.opened).toHaveLength(total)
    yield* Scope.close(scope, Exit.void)
    expect(devices.released).toHaveLength(total)
  }))
