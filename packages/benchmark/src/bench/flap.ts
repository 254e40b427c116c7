/** The connections that a server gets from clients that it accepts and hangs up on. */
import * as Effect from "effect/Effect"
import { type Section, short, us } from "./harness/section.js"
import { full } from "./harness/settings.js"
import { allUp, startCrowds } from "./peers/crowd.js"
import { noRedis } from "./peers/world.js"

const clients = 20
/** In s. */
const time = full(30, 8)

export const flap: Effect.Effect<Section> = Effect.scoped(Effect.gen(function*() {
  const { crowds, redisIsMissing } = yield* startCrowds(clients)
  yield* Effect.forEach(crowds, allUp)
  // Longer than the time after which the libraries count a connection as a success
  yield* Effect.sleep("6 seconds")
  yield* Effect.forEach(crowds, ({ proxied }) => Effect.zipRight(proxied.set("hangUp"), proxied.kick), {
    concurrency: "unbounded"
  })
  yield* Effect.sleep(`${time} seconds`)
  const counted = yield* Effect.forEach(crowds, ({ peer, proxied }) =>
    Effect.map(proxied.arrivals, (arrivals) => ({
      name: peer.name,
      value: arrivals.filter((at) => at <= time * 1_000).length / clients
    })))
  return {
    title: "A server that accepts and hangs up",
    text: [
      `A server that is overloaded, or refuses the token, often accepts every connection and closes it a moment ` +
      `later; here the proxy does so after 200 ms. ${clients} clients of each library are connected, are kicked, ` +
      `and come back to such a server. The figure is how many connections a client opens in ${time} s, on average, ` +
      `with the defaults of its library (ours: with \`RetryPolicy.production\`, as in the README).`,
      "A library that takes every open connection for a success begins with its shortest delay again each time. " +
      "Few connections are only good if the client still comes back: graphql-ws gives up after 5 attempts, and the " +
      "loop by hand never restarts its backoff, so it waits long after later losses too.",
      ...(redisIsMissing ? [noRedis] : [])
    ],
    figures: [{
      what: `connections of a client in ${time} s`,
      value: counted.find(({ name }) => name === us)!.value,
      unit: "connections",
      floor: { atMost: 5 }
    }],
    tables: [{
      caption: `Connections of a client in ${time} s`,
      columns: ["", "average"],
      rows: counted.map(({ name, value }) => [name, short(value)])
    }],
    charts: [{
      kind: "bars",
      file: "bench-flap",
      title: "A server that accepts and hangs up",
      unit: `connections of a client in ${time} s`,
      bars: counted
    }]
  }
}))
