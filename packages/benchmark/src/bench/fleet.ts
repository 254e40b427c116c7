/** A fleet of 100,000 clients, in virtual time. */
import * as Effect from "effect/Effect"
import type { Figure } from "../measuring.js"
import { policies, production } from "./fleet/policies.js"
import { type Outcome, peakOf, perWindow, simulate, type World } from "./fleet/simulate.js"
import { type Chart, isOurs, type Section, type Table } from "./harness/section.js"
import { full } from "./harness/settings.js"

const clients = full(100_000, 5_000)
const servers = 20
/** Between the restarts of two servers, in ms. */
const step = 10_000
const second = 1_000

/** Every server is restarted in turn; its clients go to the others. */
const rolling: World = {
  clients,
  lostAt: (client) => (client % servers) * step,
  downUntil: 0,
  capacity: clients / 10,
  until: servers * step + 120 * second,
  seed: "rolling"
}

/** All connections are lost, and the region is down for a minute. */
const regional: World = {
  clients,
  lostAt: () => 0,
  downUntil: 60 * second,
  capacity: clients / 10,
  until: 300 * second,
  seed: "regional"
}

interface Row {
  readonly name: string
  readonly outcome: Outcome
  readonly peak: number
  /** The peak after the end of the outage. */
  readonly peakAfter: number
  /** The times in s until half and 99 % of the clients are connected again. */
  readonly half: number
  readonly most: number
}

const run = (world: World): ReadonlyArray<Row> =>
  policies.map((policy) => {
    const outcome = simulate(policy, world)
    const at = (part: number) => outcome.gaps[Math.floor(clients * part)]! / second
    const { attempts } = outcome
    return {
      name: policy.name,
      outcome,
      peak: peakOf(attempts, second),
      peakAfter: peakOf(attempts.filter((time) => time >= world.downUntil), second),
      half: at(0.5),
      most: at(0.99)
    }
  })

const seconds = (value: number) => Number.isFinite(value) ? value.toFixed(1) : "never"
const count = (value: number) => Math.round(value).toLocaleString("en-US")

const tableOf = (caption: string, rows: ReadonlyArray<Row>): Table => ({
  caption,
  columns: [
    "",
    "peak, ratio to production",
    "attempts a second, peak",
    "after the outage",
    "in any 100 ms",
    "attempts of a client",
    "p50, s",
    "p99, s"
  ],
  rows: rows.map(({ half, most, name, outcome, peak, peakAfter }) => [
    name,
    (peak / rows[0]!.peak).toFixed(2),
    count(peak),
    count(peakAfter),
    count(peakOf(outcome.attempts, 100)),
    (outcome.attempts.length / clients).toFixed(1),
    seconds(half),
    seconds(most)
  ])
})

const chartOf = (file: string, title: string, rows: ReadonlyArray<Row>, until: number): Chart => ({
  kind: "panels",
  file,
  title,
  x: "s since the first loss",
  y: "attempts a second",
  lines: rows.map(({ name, outcome }) => ({
    name,
    points: perWindow(outcome.attempts, second, until * second).map((attempts, index) => [index, attempts] as const)
  }))
})

/** The lowest value of the others that also bring 99 % of the clients back. */
const bestOf = (rows: ReadonlyArray<Row>, valueOf: (row: Row) => number) =>
  Math.min(...rows.filter(({ most, name }) => !isOurs(name) && Number.isFinite(most)).map(valueOf))

/** A value of the recommended policy, compared with the lowest of the others. */
const figure = (what: string, rows: ReadonlyArray<Row>, valueOf: (row: Row) => number): Figure => ({
  what,
  value: valueOf(rows.find(({ name }) => name === production.name)!) / bestOf(rows, valueOf),
  unit: "x the lowest of the others",
  floor: { atMost: 1 }
})

export const fleet: Effect.Effect<Section> = Effect.sync(() => {
  const restarts = run(rolling)
  const outage = run(regional)
  return {
    title: "A fleet",
    text: [
      `${count(clients)} connections, in virtual time. The server accepts at most ${
        count(clients / 10)
      } new connections ` +
      "a second, and refuses the rest. *Rolling restart*: twenty servers are restarted, one every 10 s, and the " +
      "clients of each go to the others. *Regional outage*: all connections are lost, and every attempt of the next " +
      "60 s is refused. The tables show how many attempts reach the server, and how long half and 99 % of the " +
      "clients had no connection.",
      "The policies of this library are the real schedules; a test checks that the simulation makes the same " +
      "attempts, to the ms, as real persistent connections. The others are the formulas of their sources, with the " +
      "defaults of the library. Those by hand are what `Effect.retry` does with `Schedule.exponential` up to 30 s, " +
      "and with `Schedule.spaced`.",
      "Why `RetryPolicy.production`: the first attempt after a loss is spread evenly over 5 s, so a restart of one " +
      "server costs the others the least that is possible within 5 s. During an outage the delays grow to 15 to 30 " +
      "s, drawn anew each time, so the attempts are spread when the region comes back. While the region is down, " +
      "the first delays overlap with those 5 s, so another policy may have a lower peak. After a long outage, a " +
      "policy with a cap of 5 s brings the clients back sooner, if the server can bear it. A policy without jitter " +
      "sends all clients at the same moment, again and again."
    ],
    figures: [
      figure("rolling restart: peak of attempts a second", restarts, ({ peak }) => peak),
      figure("regional outage: peak of attempts a second", outage, ({ peak }) => peak),
      figure("regional outage: the same after the end of the outage", outage, ({ peakAfter }) => peakAfter)
    ],
    tables: [tableOf("Rolling restart", restarts), tableOf("Regional outage of 60 s", outage)],
    charts: [
      chartOf("bench-rolling-restart", "Rolling restart of 20 servers", restarts, 120),
      chartOf("bench-regional-outage", "Regional outage of 60 s", outage, 150)
    ]
  }
})
