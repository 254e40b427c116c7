/** The behaviour of user code in one run, call by call, and the actions of users, as data with random generators. */
import * as FastCheck from "effect/FastCheck"

/** The length of a tick in ms. All times in scripts are in ticks. */
export const tick = 1_000_000

/**
 * The maximum number of defects of a policy. A policy that always dies would be retried every 10 s, which is often
 * within a tick. After the maximum it returns a delay of 1.
 */
export const mostDeaths = 2

export const toMillis = (ticks: number): number => Math.round(ticks * tick)

/** The deadline of an attempt, between two ticks. */
export const deadlineOf = ({ attemptTimeout }: Scenario): number => attemptTimeout * tick + tick / 2

/**
 * Shifts all times except 0 so that two actions happen in the same ms only if one causes the other. Then the rules
 * determine the result. Also, no op runs and no connection is lost in the ms of its own start.
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
      // Without `isClosed`, the rules do not determine whether a waiting caller gets a connection that is lost at once.
      opensFirst: connect.opensFirst && scenario.knowsDeath,
      life: connect.life === undefined ? undefined : later(connect.life),
      release: call(connect.release)
    })),
    handlers: scenario.handlers.map(call),
    policyTakes: time(scenario.policyTakes)
  }
}

/** An op on the persistent connection, its attempt or its newest connection. */
export type Op =
  | "connected"
  | "connectedOrClosed"
  | "connectedOrFailedToConnect"
  | "closeFinished"
  | "close"
  | "closeWhen"
  | "abort"
  | "lose"

/** Further ops. The model does not cover them, but they must not break an invariant. */
export type Extra =
  | "use"
  | "refresh"
  | "reconnectNow"
  | "reconnectAndRefresh"
  | "probe"
  | "drop"
  | "restart"
  | "closeGracefully"

export const extras: ReadonlyArray<Extra> = [
  "use",
  "refresh",
  "reconnectNow",
  "reconnectAndRefresh",
  "probe",
  "drop",
  "restart",
  "closeGracefully"
]

/** A call of user code: it pauses, performs an op and waits for the result, and then takes further time. */
export interface Call {
  readonly pauses: number
  readonly does: Op | undefined
  /** True if a forked fiber performs the op, and the call joins it. */
  readonly forks: boolean
  readonly takes: number
}

export interface Handling extends Call {
  readonly dies: boolean
}

export interface Step extends Call {
  /** The end of the step: a value, an error, a defect, an interruption by itself, or no end. */
  readonly ends: "succeed" | "fail" | "die" | "interrupt" | "never"
  /** The address or the error. */
  readonly text: string
  readonly isUninterruptible: boolean
}

export interface Connect extends Step {
  /** True if the connection is acquired before the op instead of at the end. */
  readonly opensFirst: boolean
  /** The lifetime of the connection after its acquisition. */
  readonly life: number | undefined
  readonly loss: Loss
  readonly release: Handling
}

export type Loss = "clean" | "fail" | "die" | "interrupt"

export interface Scenario {
  /** One entry per call, repeated cyclically. The same holds for connects and handlers. */
  readonly lookUps: ReadonlyArray<Step>
  readonly connects: ReadonlyArray<Connect>
  readonly handlers: ReadonlyArray<Handling>
  /**
   * The results of the retry policy: delays (the last one repeats), the end, or a defect (at most `mostDeaths` times).
   */
  readonly retry: ReadonlyArray<number | "end" | "die">
  /** The time that the retry policy takes to decide. */
  readonly policyTakes: number
  /** May be infinite. */
  readonly attemptTimeout: number
  readonly minUptime: number
  /** True if the connector has `isClosed`. */
  readonly knowsDeath: boolean
}

export type Command =
  | { readonly type: "advance"; readonly ticks: number }
  | { readonly type: "op"; readonly op: Op }
  /** Interrupts the op of a user that was called this many ops ago. */
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

/** Mostly harmless ops, because a run that closes at once shows little. */
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

/** Ops that end the attempt that calls them, or wait for its end. */
export const ends: ReadonlyArray<Op | undefined> = ["close", "closeFinished", "closeWhen", "abort"]

const fair = <A extends Step>(step: A): A => {
  // An uninterruptible step that never ends would correctly block the close forever.
  if (step.ends === "never") return { ...step, isUninterruptible: false }
  // The rules do not determine the progress of an attempt in the ms in which it ends itself, or in which its child gets
  // a result.
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

/** Starts and ends with a delay, so that time advances. */
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
