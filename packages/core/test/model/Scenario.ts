/**
 * What user code does in one run, call by call, and what users do meanwhile; as data, and at random.
 */
import * as FastCheck from "effect/FastCheck"

/** Times in scripts are in ticks, of this many ms. */
export const tick = 1_000_000

/** A policy that died for ever would be retried every 10 s, which is often in a tick. From then on it says 1. */
export const mostDeaths = 2

export const toMillis = (ticks: number): number => Math.round(ticks * tick)

/** The deadline of an attempt ends between two ticks. */
export const deadlineOf = ({ attemptTimeout }: Scenario): number => attemptTimeout * tick + tick / 2

/**
 * The same, in a way in which no two things happen in the same ms unless one follows from the other: what the rules say
 * is certain then. All times but 0 are spread, and nobody performs an op, and no connection is lost, in the ms in which
 * it begins.
 */
export const spread = (scenario: Scenario): Scenario => {
  let times = 0
  const later = (ticks: number) => ticks + (1 + (Math.imul(++times, 0x9e3779b1) >>> 0) % 400_000) / tick
  const time = (ticks: number) => ticks === 0 ? 0 : later(ticks)
  const call = <A extends Call>(call: A): A => ({
    ...call,
    pauses: call.does === undefined ? time(call.pauses) : later(call.pauses),
    takes: time(call.takes)
  })
  return {
    ...scenario,
    lookUps: scenario.lookUps.map(call),
    connects: scenario.connects.map((connect) => ({
      ...call(connect),
      // Whether a waiter gets a connection that was dead on arrival is open, unless the connector knows.
      opensFirst: connect.opensFirst && scenario.knowsDeath,
      life: connect.life === undefined ? undefined : later(connect.life),
      release: call(connect.release)
    })),
    handlers: scenario.handlers.map(call),
    policyTakes: time(scenario.policyTakes)
  }
}

/** What is done with the persistent connection, its attempt or its newest connection. */
export type Op =
  | "connected"
  | "connectedOrClosed"
  | "connectedOrFailedToConnect"
  | "closeFinished"
  | "close"
  | "closeWhen"
  | "abort"
  | "lose"

/** What else is done with it: the model does not know of it, but no rule is broken by it. */
export type Extra = "use" | "refresh" | "reconnectNow" | "reconnectAndRefresh" | "probe" | "drop" | "closeGracefully"

export const extras: ReadonlyArray<Extra> = [
  "use",
  "refresh",
  "reconnectNow",
  "reconnectAndRefresh",
  "probe",
  "drop",
  "closeGracefully"
]

/** A call of user code: in a while it performs an op and waits for its answer, and then takes its time. */
export interface Call {
  readonly pauses: number
  readonly does: Op | undefined
  /** The op is performed by a fiber that it forks for that, and joins. */
  readonly forks: boolean
  readonly takes: number
}

export interface Handling extends Call {
  readonly dies: boolean
}

export interface Step extends Call {
  /** How it ends: with a value, an error, a defect, an interruption of its own, or not at all. */
  readonly ends: "succeed" | "fail" | "die" | "interrupt" | "never"
  /** The address or the error. */
  readonly text: string
  readonly isUninterruptible: boolean
}

export interface Connect extends Step {
  /** The connection is acquired before the op, not at the end. */
  readonly opensFirst: boolean
  /** How long the connection lives after it has been acquired. */
  readonly life: number | undefined
  readonly loss: Loss
  readonly release: Handling
}

export type Loss = "clean" | "fail" | "die" | "interrupt"

export interface Scenario {
  /** One entry a call, and from the beginning again; as for connects and handlers. */
  readonly lookUps: ReadonlyArray<Step>
  readonly connects: ReadonlyArray<Connect>
  readonly handlers: ReadonlyArray<Handling>
  /** The delays of the retry policy, of which the last repeats; its end, or a step that dies, up to `mostDeaths` times. */
  readonly retry: ReadonlyArray<number | "end" | "die">
  /** How long the retry policy takes to say so. */
  readonly policyTakes: number
  /** May be infinite. */
  readonly attemptTimeout: number
  readonly minUptime: number
  /** Does the connector tell at once that a connection is dead? */
  readonly knowsDeath: boolean
}

export type Command =
  | { readonly type: "advance"; readonly ticks: number }
  | { readonly type: "op"; readonly op: Op }
  /** Interrupts the op of a user that was called so many ops ago. */
  | { readonly type: "interrupt"; readonly ago: number }
  | { readonly type: "subscribe" }
  | { readonly type: "leave" }

const weighted = <A>(...choices: ReadonlyArray<readonly [weight: number, value: A]>): FastCheck.Arbitrary<A> =>
  FastCheck.oneof(...choices.map(([weight, value]) => ({ weight, arbitrary: FastCheck.constant(value) })))

const takes = FastCheck.oneof(
  { weight: 3, arbitrary: FastCheck.constant(0) },
  { weight: 2, arbitrary: FastCheck.integer({ min: 1, max: 6 }) }
)

const waitingOps = ["connected", "connectedOrClosed", "connectedOrFailedToConnect", "closeFinished"] as const

export const anOp = FastCheck.constantFrom<Op>(...waitingOps, "close", "closeWhen", "abort", "lose")

/** Mostly harmless: a run in which everything closes at once shows little. */
const does = FastCheck.oneof(
  { weight: 15, arbitrary: FastCheck.constant(undefined) },
  { weight: 4, arbitrary: FastCheck.constantFrom<Op>(...waitingOps, "lose") },
  { weight: 1, arbitrary: anOp }
)

const call: { readonly [K in keyof Call]: FastCheck.Arbitrary<Call[K]> } = {
  pauses: FastCheck.oneof({ weight: 2, arbitrary: FastCheck.constant(0) }, takes),
  does,
  forks: weighted([3, false], [1, true]),
  takes
}

const handling: FastCheck.Arbitrary<Handling> = FastCheck.record({
  ...call,
  dies: weighted([5, false], [1, true])
})

const step = {
  ...call,
  ends: weighted<Step["ends"]>([12, "succeed"], [3, "fail"], [1, "die"], [1, "interrupt"], [1, "never"]),
  text: FastCheck.constantFrom("a", "b"),
  isUninterruptible: weighted([5, false], [1, true])
}

/** What ends the attempt that does it, or waits for its end. */
export const ends: ReadonlyArray<Op | undefined> = ["close", "closeFinished", "closeWhen", "abort"]

const fair = <A extends Step>(step: A): A => {
  // What never ends and cannot be interrupted would rightly keep closing from ending.
  if (step.ends === "never") return { ...step, isUninterruptible: false }
  // How far an attempt gets in the ms in which it ends itself is open, or in which its child is answered as it ends.
  const mayEnd = ends.includes(step.does) || step.forks
  return mayEnd && !step.isUninterruptible ? { ...step, takes: Math.max(step.takes, 1) } : step
}

const lookUp: FastCheck.Arbitrary<Step> = FastCheck.record(step).map(fair)

const loss = weighted<Loss>([3, "clean"], [2, "fail"], [1, "die"], [1, "interrupt"])

const connect: FastCheck.Arbitrary<Connect> = FastCheck.record({
  ...step,
  opensFirst: FastCheck.boolean(),
  life: FastCheck.option(FastCheck.integer({ min: 0, max: 12 }), { nil: undefined }),
  loss,
  release: handling
}).map(fair)

/** Begins and ends with a delay, so that time goes on. */
const retry = FastCheck.tuple(
  FastCheck.integer({ min: 1, max: 5 }),
  FastCheck.array(
    FastCheck.oneof(
      { weight: 8, arbitrary: FastCheck.integer({ min: 0, max: 5 }) },
      { weight: 1, arbitrary: weighted<"end" | "die">([1, "end"], [1, "die"]) }
    ),
    { maxLength: 4 }
  ),
  FastCheck.integer({ min: 1, max: 5 })
).map(([first, others, last]) => [first, ...others, last])

export const scenario: FastCheck.Arbitrary<Scenario> = FastCheck.record({
  lookUps: FastCheck.array(lookUp, { minLength: 1, maxLength: 5 }),
  connects: FastCheck.array(connect, { minLength: 1, maxLength: 5 }),
  handlers: FastCheck.array(handling, { minLength: 1, maxLength: 7 }),
  retry,
  policyTakes: FastCheck.constantFrom(0, 0, 0, 1),
  attemptTimeout: FastCheck.oneof(FastCheck.integer({ min: 0, max: 8 }), FastCheck.constant(Infinity)),
  minUptime: FastCheck.constantFrom(0, 0, 3),
  knowsDeath: FastCheck.boolean()
})

export const command: FastCheck.Arbitrary<Command> = FastCheck.oneof(
  {
    weight: 60,
    arbitrary: FastCheck.record({ type: FastCheck.constant("advance" as const), ticks: FastCheck.nat({ max: 6 }) })
  },
  {
    weight: 50,
    arbitrary: FastCheck.record({
      type: FastCheck.constant("op" as const),
      op: FastCheck.oneof(
        { weight: 8, arbitrary: FastCheck.constantFrom<Op>(...waitingOps, "lose") },
        { weight: 1, arbitrary: anOp }
      )
    })
  },
  {
    weight: 8,
    arbitrary: FastCheck.record({ type: FastCheck.constant("interrupt" as const), ago: FastCheck.nat({ max: 5 }) })
  },
  { weight: 8, arbitrary: FastCheck.constant({ type: "subscribe" as const }) },
  { weight: 2, arbitrary: FastCheck.constant({ type: "leave" as const }) }
)
