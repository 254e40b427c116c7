/** A scenario: the settings of the clients, and what happens to the world, with times. All times are in ms. */

export const policies = ["production", "standard", "exponential", "fixed", "immediate"] as const
export const jitters = ["full", "equal", "decorrelated", "none"] as const

/** The options of the clients. Those that the policy does not use are ignored. */
export interface Settings {
  readonly policy: typeof policies[number]
  /** Of `exponential`. */
  readonly base: number
  readonly factor: number
  readonly maxDelay: number
  readonly jitter: typeof jitters[number]
  /** Of `fixed`. */
  readonly delay: number
  /** Of all policies but `production` and `standard`, which have their own. */
  readonly minUptime: number
  readonly reconnectJitter: number
  readonly healthCheck: boolean
  readonly interval: number
  readonly timeout: number
  readonly missedProbes: number
  readonly connectTimeout: number
  readonly clients: number
}

export const defaults: Settings = {
  policy: "production",
  base: 1_000,
  factor: 2,
  maxDelay: 30_000,
  jitter: "full",
  delay: 2_000,
  minUptime: 5_000,
  reconnectJitter: 0,
  healthCheck: true,
  interval: 4_000,
  timeout: 1_500,
  missedProbes: 2,
  connectTimeout: 5_000,
  clients: 1
}

/** With real WebSockets, clients from this number on run in the process of the server. */
export const fleetFrom = 101

/** The whole numbers that a setting accepts. */
export const ranges = {
  base: [0, 60_000],
  factor: [1, 10],
  maxDelay: [0, 600_000],
  delay: [0, 60_000],
  minUptime: [0, 60_000],
  reconnectJitter: [0, 60_000],
  interval: [100, 60_000],
  timeout: [50, 60_000],
  missedProbes: [1, 10],
  connectTimeout: [100, 60_000],
  clients: [1, 500]
} as const satisfies Partial<Record<keyof Settings, readonly [number, number]>>

export const actionTags = [
  "kill",
  "start",
  "refuse",
  "hang",
  "silence",
  "slow",
  "drop",
  "offline",
  "online",
  "announce",
  "close"
] as const

/**
 * - `kill`: the server dies: its connections break, and new ones are refused.
 * - `start`: the server accepts connections, after `kill`, `refuse` or `hang`.
 * - `refuse`, `hang`: new connections are refused, or accepted and never answered. Open ones stay.
 * - `silence`: nothing passes on the open connections any more, and nobody notices.
 * - `slow`: everything from the server takes `value` ms longer; 0 for normal.
 * - `drop`: each new connection breaks after `value` ms; 0 for normal.
 * - `offline`, `online`: the network of the clients goes and comes back.
 * - `announce`: the server announces a restart on the open connections.
 * - `close`: the owner of the clients closes them.
 */
export interface Action {
  readonly tag: typeof actionTags[number]
  readonly value?: number
}

export interface Step {
  readonly at: number
  readonly action: Action
}

export interface Scenario {
  readonly settings: Settings
  /** In ascending order. */
  readonly steps: ReadonlyArray<Step>
  /** When it ends. */
  readonly until: number
}

/** The announcement of a restart reaches the clients one after the other, over this time, in ms. */
export const announcementTime = 2_000

/** The world as the actions have left it. */
export interface WorldState {
  readonly server: "up" | "down" | "refusing" | "hanging"
  readonly latency: number
  readonly dropAfter: number
  readonly online: boolean
  /** When the server was started the last time. */
  readonly upSince: number
}

export const initialWorld: WorldState = { server: "up", latency: 0, dropAfter: 0, online: true, upSince: 0 }

export const nextWorld = (state: WorldState, { tag, value = 0 }: Action, at: number): WorldState => {
  switch (tag) {
    case "kill":
      return { ...state, server: "down" }
    case "start":
      return { ...state, server: "up", upSince: state.server === "down" ? at : state.upSince }
    case "refuse":
      return { ...state, server: "refusing" }
    case "hang":
      return { ...state, server: "hanging" }
    case "slow":
      return { ...state, latency: value }
    case "drop":
      return { ...state, dropAfter: value }
    case "offline":
      return { ...state, online: false }
    case "online":
      return { ...state, online: true }
    case "silence":
    case "announce":
    case "close":
      return state
  }
}

/** What happened, as a sentence. */
export const describeAction = ({ tag, value = 0 }: Action): string => {
  switch (tag) {
    case "kill":
      return "The server is killed"
    case "start":
      return "The server accepts connections"
    case "refuse":
      return "The server refuses new connections"
    case "hang":
      return "The server accepts, and never answers"
    case "silence":
      return "The open connections fall silent"
    case "slow":
      return value === 0 ? "The network is fast again" : `The network is slower by ${value / 1_000} s`
    case "drop":
      return value === 0
        ? "New connections are no longer dropped"
        : `Each new connection is dropped after ${value / 1_000} s`
    case "offline":
      return "The clients go offline"
    case "online":
      return "The clients are online again"
    case "announce":
      return "The server announces a restart"
    case "close":
      return "The owner closes the persistent connection"
  }
}
