/**
 * Plays in which two things meet in one ms.
 */
import { connect, handling, plain, step } from "./examples.js"
import type { Act, Play } from "./play.js"
import { extras, type Handling, type Loss, type Op, type Scenario } from "./Scenario.js"

const play = (
  scenario: Partial<Scenario>,
  acts: ReadonlyArray<readonly [at: number, ...does: ReadonlyArray<Act["does"]>]>
): Play => ({
  scenario: { ...plain, ...scenario },
  acts: acts.flatMap(([at, ...does]) => does.map((does) => ({ at, does }))),
  until: 9
})

const waiters = [0, "connected", "connectedOrClosed", "connectedOrFailedToConnect", "closeFinished"] as const
const ends: ReadonlyArray<Op | "leave"> = ["close", "closeWhen", "abort", "leave"]
const booleans = [true, false]

/** The look-up takes 1 tick and so does connect: it succeeds at 2. */
const closeAgainstSuccess = ends.flatMap((end) =>
  booleans.flatMap((opensFirst) =>
    booleans.map((isUninterruptible) =>
      play({ connects: [{ ...connect, opensFirst, isUninterruptible, release: { ...handling, takes: 1 } }] }, [
        waiters,
        [2, end, "connected", "connectedOrFailedToConnect", "close"]
      ])
    )
  )
)

/** While it waits (6), looks up (0), connects (1) and is connected (3), and when one of these becomes the other. */
const abortAgainstClose = [0, 1, 2, 3, 5, 6].flatMap((at) =>
  ends.map((end) =>
    play({ connects: [{ ...connect, life: 3 }], retry: [7] }, [
      waiters,
      [at, "abort", end, "close", "connectedOrFailedToConnect", "connectedOrClosed", "abort"]
    ])
  )
)

/** The deadline is at 1.5 ticks, and so are the end of the look-up, or of connect; or one of these and a close. */
const deadlineAgainstSuccess = [[1.5, 1], [0.5, 1], [0, 1.5], [1.5, 0]].flatMap(([lookUp, opening]) =>
  booleans.flatMap((isUninterruptible) =>
    ([undefined, ...ends] as const).map((end) =>
      play({
        lookUps: [{ ...step, takes: lookUp! }],
        connects: [{ ...connect, takes: opening!, isUninterruptible, life: 2 }],
        attemptTimeout: 1
      }, [waiters, ...(end === undefined ? [] : [[1.5, end, "connectedOrFailedToConnect"] as const])])
    )
  )
)

/** The connection is lost at 4, by its script and by its user. */
const lossAgainstClose = (["clean", "fail", "die", "interrupt"] satisfies ReadonlyArray<Loss>).flatMap((loss) =>
  ends.flatMap((end) =>
    // The handler of `Connected` ends at 2, when it begins, at 4 or at 5.
    [0, 2, 3].map((takes) =>
      play({
        connects: [{ ...connect, life: 2, loss }],
        handlers: [handling, handling, { ...handling, takes }],
        knowsDeath: loss !== "fail"
      }, [waiters, [4, end, "lose", "connected", "connectedOrFailedToConnect", "connectedOrClosed"]])
    )
  )
)

/** Each handler takes 1 tick: something ends at every tick, and the connection is lost at 5, as its handler ends. */
const slowly = (handler: Partial<Handling>): Partial<Scenario> => ({
  connects: [{ ...connect, life: 1 }, { ...connect, ends: "fail" }],
  handlers: [{ ...handling, takes: 1, ...handler }]
})

const handlerAgainstClose = ends.flatMap((end) =>
  [1, 2, 3, 4, 5, 6, 7].flatMap((at) =>
    [{}, { dies: true }, { does: "connected" as const }].map((handler) =>
      play(slowly(handler), [[at, end, "connectedOrFailedToConnect", "close"]])
    )
  )
)

const everything: ReadonlyArray<Act["does"]> = [
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
      play(slowly({ does: doing }), [waiters, [at, "leave", does]])
    )
  )
)

/** The next connection succeeds at 7, as the old one is lost; what is used is drained until 8. */
const refreshAgainstEverything = [0, 2, 4, 5, 6, 7, 8].flatMap((at) =>
  ([...everything, "leave", ...extras] as const).flatMap((does) =>
    booleans.map((isUninterruptible) =>
      play({
        connects: [{ ...connect, life: 5 }, { ...connect, isUninterruptible, release: { ...handling, takes: 1 } }],
        handlers: [handling, handling, { ...handling, takes: isUninterruptible ? 4 : 0 }]
      }, [waiters, [4, "use"], [5, "refresh"], [at, does]])
    )
  )
)

export const races: Readonly<Record<string, ReadonlyArray<Play>>> = {
  "closing against a connect that succeeds": closeAgainstSuccess,
  "abort against close": abortAgainstClose,
  "the deadline against success": deadlineAgainstSuccess,
  "a loss against closing": lossAgainstClose,
  "the end of a handler against closing": handlerAgainstClose,
  "leaving against everything": leaveAgainstEverything,
  "replacing the connection against everything": refreshAgainstEverything
}
