import { describe, expect, it } from "@effect/vitest"
import { connect, handling, plain, step } from "./examples.js"
import { perform, type Play } from "./play.js"
import { tick } from "./Scenario.js"
import { type Callback, type Fault, Subject } from "./Subject.js"
import { World } from "./World.js"

/** Every function of user code is called, most of them several times, and in the end it is connected, for good. */
const life: Play = {
  scenario: {
    ...plain,
    connects: [{ ...connect, ends: "fail" }, { ...connect, life: 1, loss: "fail" }, { ...connect, life: 3 }, connect],
    handlers: [handling, { ...handling, takes: 1 }],
    lookUps: [step, { ...step, text: "b" }, { ...step, takes: 0 }],
    attemptTimeout: 3
  },
  acts: [
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

/** What each of the calls, numbered from 0, is a call of. */
const calls = (play: Play): ReadonlyArray<Callback> => {
  const calls: Array<Callback> = []
  perform(play, {
    streams: false,
    inject: (callback) => {
      calls.push(callback)
      return undefined
    }
  })
  return calls
}

/** Runs the play with a fault in one call, and tells what was so before its scope was left. */
const performWith = (play: Play, callback: Callback, call: number, fault: Fault) => {
  let subject: Subject
  const before = { state: "", connections: 0 }
  try {
    perform({ ...play, acts: [...play.acts] }, {
      streams: false,
      onReady: (ready) => {
        subject = ready
        ready.world.after(play.until * tick - 1, () => {
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

describe("user code that goes wrong", () => {
  const all = calls(life)
  const callsOf = (callback: Callback) => all.flatMap((each, call) => each === callback ? [call] : [])

  it("is all called in the life that is tested", () => {
    expect(new Set(all)).toEqual(new Set(callbacks))
    expect(all.filter((callback) => callback === "isClosed")).not.toEqual([])
  })

  describe.each(callbacks)("%s", (callback) => {
    it.each<Fault>(["throw", "die", "interrupt"])(
      "by a %s, whenever, breaks no rule, and it goes on",
      (fault) => {
        for (const call of callsOf(callback)) {
          const { connections, log, state } = performWith(life, callback, call, fault)
          expect(state).toBe("Connected")
          expect(connections).toBeGreaterThanOrEqual(2)
          expect(log).toEqual(reports(callback, fault))
        }
      }
    )
  })

  it.each<Callback>(["lookUp", "connect"])(
    "by a %s that never ends is cut off by the deadline",
    (callback) => {
      for (const call of callsOf(callback)) expect(performWith(life, callback, call, "never").state).toBe("Connected")
    }
  )

  it("by a finalizer that never ends holds up neither the next connection nor, for longer than allowed, leaving", () => {
    const world = new World()
    const subject = new Subject(world, life.scenario, {
      closeTimeout: 3,
      inject: (callback) => callback === "finalizer" ? "never" : undefined
    })
    world.advance(life.until * tick)
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

/** What is logged of a fault: what nobody else would hear of. */
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
