/** The clients of a server that is restarted, or is down for 30 s. */
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as ThunderingHerd from "@persistent-connection/core/testing/ThunderingHerd"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { type Figure, quantile } from "../measuring.js"
import { peakOf, perWindow } from "./fleet/simulate.js"
import { type Section, short, us } from "./harness/section.js"
import { full, isQuick } from "./harness/settings.js"
import { allUp, type Crowd, startCrowds } from "./peers/crowd.js"
import { noRedis } from "./peers/world.js"

const clients = full(200, 20)
const outage = full(30, 5)
/** The window of the first attempt after a loss, and that of the last draw after a long outage. In ms. */
const windows = { kick: 5_000, outage: 15_000 }

/** The average over the seeds of the most attempts in any 100 ms, and that of ideal uniform draws. */
const simulated = (clients: number, seconds: number, seeds: number) =>
  Effect.gen(function*() {
    const { runs } = yield* ThunderingHerd.simulate({
      ...RetryPolicy.production,
      clients,
      outage: `${seconds} seconds`,
      seeds: [1, ...Array.from({ length: seeds - 1 }, (_, index) => index + 2)]
    })
    const window = seconds === 0 ? windows.kick : windows.outage
    const sum = { ours: 0, ideal: 0, during: 0 }
    for (const { attempts, seed } of runs) {
      const draws = yield* Effect.replicateEffect(Random.nextRange(0, window), clients).pipe(
        Effect.withRandom(Random.make(`ideal ${seed}`))
      )
      sum.ideal += peakOf(draws.sort((a, b) => a - b), 100)
      sum.ours += peakOf(attempts.filter((at) => at >= seconds * 1_000), 100)
      sum.during += peakOf(attempts, 100)
    }
    return { clients, seconds, ours: sum.ours / seeds, ideal: sum.ideal / seeds, during: sum.during / seeds }
  })

type Simulated = Effect.Effect.Success<ReturnType<typeof simulated>>

const floorOf = ({ clients, ideal, ours, seconds }: Simulated): Figure => ({
  what: `${clients} clients ${seconds === 0 ? "kicked" : `after ${seconds} s of outage`}: peak of any 100 ms`,
  value: ours / ideal,
  unit: `x uniform draws over ${(seconds === 0 ? windows.kick : windows.outage) / 1_000} s`,
  floor: { atMost: 1.1 }
})

/** The time in s from a moment until each client has a connection, sorted. */
const backAfter = ({ ups }: Crowd, moment: number) =>
  ups.map((times) => ((times.find((time) => time > moment) ?? Infinity) - moment) / 1_000).sort((a, b) => a - b)

const kickAll = (crowds: ReadonlyArray<Crowd>) =>
  Effect.forEach(crowds, ({ proxied }) => proxied.kick, { concurrency: "unbounded", discard: true })

/** Real clients with real sockets: kicked, and then an outage. */
const real = Effect.gen(function*() {
  const { crowds, redisIsMissing } = yield* startCrowds(clients)
  yield* Effect.forEach(crowds, allUp)
  yield* Effect.sleep(isQuick ? "1 second" : "6 seconds")
  const kickedAt = performance.now()
  yield* kickAll(crowds)
  yield* Effect.sleep("7 seconds")
  const kicked = yield* Effect.forEach(crowds, (crowd) =>
    Effect.map(crowd.proxied.arrivals, (arrivals) => ({
      name: crowd.peer.name,
      arrivals,
      back: backAfter(crowd, kickedAt)
    })))
  yield* Effect.forEach(crowds, ({ proxied }) => Effect.zipRight(proxied.set("down"), proxied.kick))
  yield* Effect.sleep(`${outage} seconds`)
  const up = performance.now()
  yield* Effect.forEach(crowds, ({ proxied }) => proxied.set("up"), { concurrency: "unbounded" })
  yield* Effect.sleep(isQuick ? "8 seconds" : "32 seconds")
  const recovered = yield* Effect.forEach(crowds, (crowd) =>
    Effect.map(crowd.proxied.arrivals, (arrivals) => ({
      name: crowd.peer.name,
      refused: arrivals.filter((at) => at < outage * 1_000).length / clients,
      peak: peakOf(arrivals.filter((at) => at >= outage * 1_000), 100) / clients,
      back: backAfter(crowd, up)
    })))
  return { kicked, recovered, redisIsMissing }
})

const percent = (part: number) => `${Math.round(part * 100)} %`
const seconds = (value: number) => Number.isFinite(value) ? short(value) : "not in this time"

export const herd: Effect.Effect<Section> = Effect.scoped(Effect.gen(function*() {
  const virtual: Array<Simulated> = []
  for (const [count, seeds] of [[200, full(30, 5)], [full(5_000, 1_000), 2]] as const) {
    for (const down of [0, 30]) virtual.push(yield* simulated(count, down, seeds))
  }
  const { kicked, recovered, redisIsMissing } = yield* real
  const p50 = (name: string) => quantile(kicked.find((row) => row.name === name)!.back, 0.5)
  return {
    title: "Herd",
    text: [
      `${clients} real clients of each library, with its defaults, lose their connections at one moment; the server is up ` +
      "again at once. (Ours: `RetryPolicy.production`, as in the README. Each client of reconnecting-websocket and " +
      "partysocket draws its own first delay, like pages of different users; within one process they share one.) " +
      `Then the server refuses every connection for ${outage} s. The times are those at which the clients have a ` +
      "connection again, and the peak is the largest part of the clients that arrives within 100 ms.",
      "In virtual time, with real persistent connections and more of them: the peak of any 100 ms, compared with " +
      "that of ideal uniform draws over the chosen window. After a kick the window is the `reconnectJitter` of 5 s. " +
      "After an outage of 30 s it is the 15 s over which the last delay is drawn; there the attempts after the end " +
      "of the outage count. *All attempts* also has those that were refused.",
      "A short p50 is good for a client, and bad for a server: clients that all come back at once come back together.",
      ...(redisIsMissing ? [noRedis] : [])
    ],
    figures: [
      ...virtual.map(floorOf),
      {
        what: `${clients} clients kicked: p50 of the time without a connection`,
        value: p50(us) / p50("reconnecting-websocket"),
        unit: "x reconnecting-websocket",
        floor: { atMost: 1 }
      }
    ],
    tables: [
      {
        caption: `${clients} real clients, kicked`,
        columns: ["", "peak of any 100 ms", "p50, s", "p99, s"],
        rows: kicked.map(({ arrivals, back, name }) => [
          name,
          percent(peakOf([...arrivals].sort((a, b) => a - b), 100) / clients),
          seconds(quantile(back, 0.5)),
          seconds(quantile(back, 0.99))
        ])
      },
      {
        caption: `${clients} real clients, after ${outage} s of outage`,
        columns: ["", "peak of any 100 ms", "p50, s", "p99, s", "refused attempts of a client"],
        rows: recovered.map(({ back, name, peak, refused }) => [
          name,
          percent(peak),
          seconds(quantile(back, 0.5)),
          seconds(quantile(back, 0.99)),
          short(refused)
        ])
      },
      {
        caption: "Simulated clients of ours: peak of any 100 ms",
        columns: ["", "attempts", "uniform draws", "all attempts"],
        rows: virtual.map(({ clients, during, ideal, ours, seconds }) => [
          `${clients} clients, outage of ${seconds} s`,
          short(ours),
          short(ideal),
          short(during)
        ])
      }
    ],
    charts: [{
      kind: "panels",
      file: "bench-herd",
      title: `${clients} clients lose their connections at once`,
      x: "s since the loss",
      y: "attempts in 100 ms",
      lines: kicked.map(({ arrivals, name }) => ({
        name,
        points: perWindow(arrivals, 100, 7_000).map((attempts, index) => [index / 10, attempts] as const)
      }))
    }]
  }
}))
