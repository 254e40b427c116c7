import { describe, expect, it } from "@effect/vitest"
import { connect, handling, plain, step } from "./examples.js"
import { tick } from "./Scenario.js"
import { type Callback, type Fault, Subject } from "./Subject.js"
import { perform, type TestCase } from "./testCase.js"
import { World } from "./World.js"

/** Calls every function of user code, most of them several times, and ends with a stable connection. */
const history: TestCase = {
  scenario: {
    ...plain,
    connects: [
      { ...connect, ends: "fail" },
      { ...connect, life: 1, loss: "fail" },
      { ...connect, life: 3 },
      connect
    ],
    handlers: [handling, { ...handling, takes: 1 }],
    lookUps: [step, { ...step, text: "b" }, { ...step, takes: 0 }],
    attemptTimeout: 3
  },
  actions: [
    { at: 0, does: "connected" },
    { at: 2, does: "connectedOrFailedToConnect" },
    { at: 5, does: "connectedOrClosed" },
    { at: 9, does: "connected" }
  ],
  until: 80
}

const callbacks: ReadonlyArray<Callback> = [
  "lookUp",
  "connect",
  "closed",
  "finalizer",
  "handler",
  "schedule",
  "isClosed",
  "addressEquivalence"
]

/** The functions of all calls, in order. */
const calls = (testCase: TestCase): ReadonlyArray<Callback> => {
  const calls: Array<Callback> = []
  perform(testCase, {
    streams: false,
    inject: (callback) => {
      calls.push(callback)
      return undefined
    }
  })
  return calls
}

/** Runs the test case with a fault in one call. Returns the state before the scope was left. */
const performWith = (testCase: TestCase, callback: Callback, call: number, fault: Fault) => {
  let subject: Subject
  const before = { state: "", connections: 0 }
  try {
    perform({ ...testCase, actions: [...testCase.actions] }, {
      streams: false,
      onReady: (ready) => {
        subject = ready
        ready.world.after(testCase.until * tick - 1, () => {
          before.state = ready.state._tag
          before.connections = ready.connections.length
        })
      },
      inject: (each, number) => {
        if (number !== call) return undefined
        expect(each).toBe(callback)
        return fault
      }
    })
  } catch (error) {
    throw new Error(`with a ${fault} in call ${call}, of ${callback}`, { cause: error })
  }
  return { ...before, log: subject!.world.log.map(({ message }) => message) }
}

describe("faults in user code", () => {
  const all = calls(history)
  const callsOf = (callback: Callback) => all.flatMap((each, call) => each === callback ? [call] : [])

  it("the tested history calls every function", () => {
    expect(new Set(all)).toEqual(new Set(callbacks))
    expect(all.filter((callback) => callback === "isClosed")).not.toEqual([])
  })

  describe.each(callbacks)("%s", (callback) => {
    it.each<Fault>(["throw", "die", "interrupt"])(
      "a fault of kind %s in any call breaks no invariant, and the loop continues",
      (fault) => {
        for (const call of callsOf(callback)) {
          const { connections, log, state } = performWith(history, callback, call, fault)
          expect(state).toBe("Connected")
          expect(connections).toBeGreaterThanOrEqual(2)
          expect(log).toEqual(reports(callback, fault))
        }
      }
    )
  })

  it.each<Callback>(["lookUp", "connect"])(
    "a %s that never ends makes the attempt time out",
    (callback) => {
      for (const call of callsOf(callback)) {
        expect(performWith(history, callback, call, "never").state).toBe("Connected")
      }
    }
  )

  it("a finalizer that never ends delays neither the next connection nor, beyond closeTimeout, leaving the scope", () => {
    const world = new World()
    const subject = new Subject(world, history.scenario, {
      closeTimeout: 3,
      inject: (callback) => callback === "finalizer" ? "never" : undefined
    })
    world.advance(history.until * tick)
    expect(subject.state._tag).toBe("Connected")
    expect(subject.connections.length).toBeGreaterThan(2)
    subject.leave("leave")
    world.advance(3 * tick - 1)
    expect(subject.answers.get("leave")).toBeUndefined()
    world.advance(1)
    expect(subject.answers.get("leave")).toBeDefined()
    expect(subject.state._tag).toBe("Closed")
    expect(world.sleepers).toBe(0)
    expect(world.fibers.size).toBeLessThanOrEqual(subject.connections.length)
    expect(world.log.map(({ message }) => message)).toEqual(
      subject.connections.map(() => expect.stringContaining("took longer than"))
    )
  })
})

/** The expected log lines of a fault. Only faults that no caller gets are logged. */
const reports = (callback: Callback, fault: Fault): ReadonlyArray<unknown> => {
  switch (callback) {
    case "handler":
      return fault === "interrupt" ? [] : [expect.stringContaining("The onEvent handler of \"model\" failed")]
    case "finalizer":
      return [expect.stringContaining("A finalizer of a connection to \"model\" failed")]
    case "schedule":
      return [expect.stringContaining("The retry policy of \"model\" failed")]
    default:
      return []
  }
}
