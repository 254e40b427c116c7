/** A fleet of clients in virtual time. */
import type { FleetClient, Policy } from "./policies.js"

export interface World {
  readonly clients: number
  /** When a client loses its connection, in ms. */
  readonly lostAt: (client: number) => number
  /** Until this time every attempt fails. */
  readonly downUntil: number
  /** More new connections than this in one second fail. */
  readonly capacity: number
  /** The end, in ms. */
  readonly until: number
  readonly seed: string
}

export interface Outcome {
  /** The times of all attempts, in ascending order, in ms. */
  readonly attempts: ReadonlyArray<number>
  /** How long each client was without a connection, in ms; ascending. `Infinity` if it had none until the end. */
  readonly gaps: ReadonlyArray<number>
}

interface Due {
  readonly at: number
  readonly client: number
}

/** A binary heap: the first one due comes out first. */
class DueList {
  private readonly items: Array<Due> = []

  push(due: Due): void {
    const { items } = this
    let index = items.push(due) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (items[parent]!.at <= due.at) break
      items[index] = items[parent]!
      index = parent
    }
    items[index] = due
  }

  pop(): Due | undefined {
    const { items } = this
    const first = items[0]
    const last = items.pop()
    if (last === undefined || items.length === 0) return first
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= items.length) break
      if (child + 1 < items.length && items[child + 1]!.at < items[child]!.at) child++
      if (items[child]!.at >= last.at) break
      items[index] = items[child]!
      index = child
    }
    items[index] = last
    return first
  }
}

export const simulate = (policy: Policy, world: World): Outcome => {
  const { capacity, downUntil, lostAt, seed, until } = world
  const due = new DueList()
  const clients: Array<FleetClient> = []
  const gaps: Array<number> = Array.from({ length: world.clients }, () => Infinity)
  for (let client = 0; client < world.clients; client++) {
    clients.push(policy.client(`${seed}/${client + 1}`))
    due.push({ at: clients[client]!.afterLoss(lostAt(client)), client })
  }
  const attempts: Array<number> = []
  let second = -1
  let accepted = 0
  for (let next = due.pop(); next !== undefined && next.at < until; next = due.pop()) {
    const { at, client } = next
    attempts.push(at)
    if (Math.floor(at / 1_000) !== second) {
      second = Math.floor(at / 1_000)
      accepted = 0
    }
    if (at >= downUntil && accepted < capacity) {
      accepted++
      gaps[client] = at - lostAt(client)
    } else {
      due.push({ at: clients[client]!.afterFailure(at), client })
    }
  }
  return { attempts, gaps: gaps.sort((a, b) => a - b) }
}

/** The attempts in each window of this length, from 0 on. */
export const perWindow = (times: ReadonlyArray<number>, length: number, until: number): ReadonlyArray<number> => {
  const counts = Array.from({ length: Math.ceil(until / length) }, () => 0)
  for (const time of times) {
    if (time < until) counts[Math.floor(time / length)]!++
  }
  return counts
}

/** The most attempts in any window of this length. The times are in ascending order. */
export const peakOf = (times: ReadonlyArray<number>, length: number): number => {
  let most = 0
  let end = 0
  times.forEach((time, index) => {
    while (end < times.length && times[end]! < time + length) end++
    most = Math.max(most, end - index)
  })
  return most
}
