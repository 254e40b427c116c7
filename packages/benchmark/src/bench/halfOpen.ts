/** The time until a client notices that its peer has vanished. */
import * as Effect from "effect/Effect"
import { spread } from "./harness/samples.js"
import { type Bar, type Section, short, us } from "./harness/section.js"
import { full } from "./harness/settings.js"
import { allUp, startCrowds } from "./peers/crowd.js"
import { noRedis } from "./peers/world.js"

const clients = 20
/** How long it waits for the libraries, in s. */
const patience = full(65, 14)

const slowest = (times: ReadonlyArray<number>) => Math.max(...times)

export const halfOpen: Effect.Effect<Section> = Effect.scoped(Effect.gen(function*() {
  const { crowds, redisIsMissing } = yield* startCrowds(clients)
  yield* Effect.forEach(crowds, allUp)
  // The clients are in different phases of their intervals.
  yield* Effect.sleep("3 seconds")
  const begun = performance.now()
  yield* Effect.forEach(crowds, ({ proxied }) => proxied.set("silent"), { concurrency: "unbounded" })
  yield* Effect.sleep(`${patience} seconds`)
  const noticed = crowds.map(({ downs, peer }) => ({
    name: peer.name,
    times: downs.map((times) => (times.find((time) => time >= begun) ?? Infinity) - begun)
      .map((time) => time / 1_000)
  }))
  const said = (seconds: number) => Number.isFinite(seconds) ? short(seconds) : `not in ${patience} s`
  return {
    title: "Half-open connections",
    text: [
      `${clients} clients of each library have an idle connection, with the defaults of the library. Then the proxy ` +
      `forwards nothing any more, in either direction, and closes nothing: as if a cable were pulled. The figure is ` +
      `the time until the client reports the loss, watched for ${patience} s.`,
      "Only those notice that ask the server and wait for an answer, or expect a sign of life from it. Most " +
      "libraries do neither by default; several have an option for it (`keepAlive` of graphql-ws, `pingInterval` of " +
      "redis). `@effect/rpc` and Phoenix ask every 10 and every 30 s. socket.io waits for the ping of its server, " +
      "every 25 s, and 20 s more. Ours asks after 7 s of silence, and again after 3 s.",
      "A proxy that answers pings itself, while the server behind it is dead, deceives the pings of every library: " +
      "for that a health check must ask the application.",
      ...(redisIsMissing ? [noRedis] : [])
    ],
    figures: [{
      what: "the slowest client",
      value: slowest(noticed.find(({ name }) => name === us)!.times),
      unit: "s",
      floor: { atMost: 13 }
    }],
    tables: [{
      caption: "From the silence to the report of the loss, s",
      columns: ["", "median", "slowest client"],
      rows: noticed.map(({ name, times }) => [name, said(spread(times).median), said(slowest(times))])
    }],
    charts: [{
      kind: "bars",
      file: "bench-half-open",
      title: "Until a dead connection is noticed, by default",
      unit: "s",
      bars: noticed.map(({ name, times }): Bar => ({ name, value: spread(times).median }))
    }]
  }
}))
