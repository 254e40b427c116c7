/** Test cases in which two actions happen in the same ms. */
import { connect, handling, plain, step } from "./examples.js"
import { extras, type Handling, type Loss, type Op, type Scenario } from "./Scenario.js"
import type { TestCase, UserAction } from "./testCase.js"

const testCase = (
  scenario: Partial<Scenario>,
  actions: ReadonlyArray<readonly [at: number, ...does: ReadonlyArray<UserAction["does"]>]>
): TestCase => ({
  scenario: { ...plain, ...scenario },
  actions: actions.flatMap(([at, ...does]) => does.map((does) => ({ at, does }))),
  until: 9
})

const waiters = [0, "connected", "connectedOrClosed", "connectedOrFailedToConnect", "closeFinished"] as const
const ends: ReadonlyArray<Op | "leave"> = ["close", "closeWhen", "abort", "leave"]
const booleans = [true, false]

/** The look-up and connect take 1 tick each: connect succeeds at 2. */
const closeAgainstSuccess = ends.flatMap((end) =>
  booleans.flatMap((opensFirst) =>
    booleans.map((isUninterruptible) =>
      testCase({ connects: [{ ...connect, opensFirst, isUninterruptible, release: { ...handling, takes: 1 } }] }, [
        waiters,
        [2, end, "connected", "connectedOrFailedToConnect", "close"]
      ])
    )
  )
)

/** During the backoff (6), the look-up (0), connect (1) and the connection (3), and at the transitions between them. */
const abortAgainstClose = [0, 1, 2, 3, 5, 6].flatMap((at) =>
  ends.map((end) =>
    testCase({ connects: [{ ...connect, life: 3 }], retry: [7] }, [
      waiters,
      [at, "abort", end, "close", "connectedOrFailedToConnect", "connectedOrClosed", "abort"]
    ])
  )
)

/**
 * The deadline is at 1.5 ticks, together with the end of the look-up or of connect, or with one of these and a close.
 */
const deadlineAgainstSuccess = [[1.5, 1], [0.5, 1], [0, 1.5], [1.5, 0]].flatMap(([lookUp, opening]) =>
  booleans.flatMap((isUninterruptible) =>
    ([undefined, ...ends] as const).map((end) =>
      testCase({
        lookUps: [{ ...step, takes: lookUp! }],
        connects: [{ ...connect, takes: opening!, isUninterruptible, life: 2 }],
        attemptTimeout: 1
      }, [waiters, ...(end === undefined ? [] : [[1.5, end, "connectedOrFailedToConnect"] as const])])
    )
  )
)

/** The connection is lost at 4, by the script and by the user. */
const lossAgainstClose = (["clean", "fail", "die", "interrupt"] satisfies ReadonlyArray<Loss>).flatMap((loss) =>
  ends.flatMap((end) =>
    // The handler of `Connected` ends at 2 (at once), at 4 or at 5.
    [0, 2, 3].map((takes) =>
      testCase({
        connects: [{ ...connect, life: 2, loss }],
        handlers: [handling, handling, { ...handling, takes }],
        knowsDeath: loss !== "fail"
      }, [waiters, [4, end, "lose", "connected", "connectedOrFailedToConnect", "connectedOrClosed"]])
    )
  )
)

/** Each handler takes 1 tick, so something ends at every tick. The connection is lost at 5, when its handler ends. */
const slowly = (handler: Partial<Handling>): Partial<Scenario> => ({
  connects: [{ ...connect, life: 1 }, { ...connect, ends: "fail" }],
  handlers: [{ ...handling, takes: 1, ...handler }]
})

const handlerAgainstClose = ends.flatMap((end) =>
  [1, 2, 3, 4, 5, 6, 7].flatMap((at) =>
    [{}, { dies: true }, { does: "connected" as const }].map((handler) =>
      testCase(slowly(handler), [[at, end, "connectedOrFailedToConnect", "close"]])
    )
  )
)

const everything: ReadonlyArray<UserAction["does"]> = [
  "connected",
  "connectedOrClosed",
  "connectedOrFailedToConnect",
  "closeFinished",
  "close",
  "closeWhen",
  "abort",
  "lose",
  "interrupt"
]

const leaveAgainstEverything = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((at) =>
  everything.flatMap((does) =>
    ([undefined, "connected", "close"] as const).map((doing) =>
      testCase(slowly({ does: doing }), [waiters, [at, "leave", does]])
    )
  )
)

/** The next connection succeeds at 7, when the old one is lost. The old one is drained until 8. */
const refreshAgainstEverything = [0, 2, 4, 5, 6, 7, 8].flatMap((at) =>
  ([...everything, "leave", ...extras] as const).flatMap((does) =>
    booleans.map((isUninterruptible) =>
      testCase({
        connects: [{ ...connect, life: 5 }, { ...connect, isUninterruptible, release: { ...handling, takes: 1 } }],
        handlers: [handling, handling, { ...handling, takes: isUninterruptible ? 4 : 0 }]
      }, [waiters, [4, "use"], [5, "refresh"], [at, does]])
    )
  )
)

export const races: Readonly<Record<string, ReadonlyArray<TestCase>>> = {
  "a close during a successful connect": closeAgainstSuccess,
  "an abort and a close": abortAgainstClose,
  "the deadline and a success": deadlineAgainstSuccess,
  "a loss and a close": lossAgainstClose,
  "the end of a handler and a close": handlerAgainstClose,
  "leaving the scope and any other action": leaveAgainstEverything,
  "a refresh and any other action": refreshAgainstEverything
}
