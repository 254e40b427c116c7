import { registry } from "#internal/loop/registry.js"
import { beforeEach, describe, expect } from "@effect/vitest"
import * as ConnectionMetrics from "@persistent-connection/core/ConnectionMetrics"
import * as Inspect from "@persistent-connection/core/Inspect"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { readFileSync } from "node:fs"
import { makeFixture } from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"
import { threeConnections } from "./threeConnections.js"

const guide = readFileSync(new URL("../../../../docs/watching.md", import.meta.url), "utf8")

// Other tests of this process may have left scopes open.
beforeEach(() => registry.clear())

describe("the guide", () => {
  it.scoped("lists every metric and every tag", () =>
    Effect.gen(function*() {
      const { service } = yield* makeFixture({ serverName: "guide" })
      yield* ConnectionMetrics.track(service)
      for (const { metricKey: { name, tags } } of yield* Metric.snapshot) {
        if (!tags.some(({ value }) => value === "guide")) continue
        expect(guide).toContain(`| \`${name.replace("persistent_connection_", "")}\` `)
        for (const { key, value } of tags) expect(guide).toContain(`\`${key === "server_name" ? key : value}\``)
      }
    }))

  it.scoped("shows the output of `Inspect`", () =>
    Effect.gen(function*() {
      yield* threeConnections
      const all = yield* Inspect.all
      expect(guide).toContain(`\`\`\`json\n${JSON.stringify(all[2], null, 2)}\n\`\`\``)
    }))
})
