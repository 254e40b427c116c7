/** The invariants at the end of every run. (`Subject.checkNow` checks the invariants of every moment.) */
import type { ConnectionState } from "@persistent-connection/core/ConnectionState"
import * as Option from "effect/Option"
import type { Subject } from "./Subject.js"
import * as words from "./words.js"
import { ofReason } from "./words.js"

/** The broken invariants as texts; empty if there are none. */
export const check = (
  { bus, events, hasLeft, isReplaced, states, violations, world }: Subject
): ReadonlyArray<string> => {
  const reported = events.map(({ onBus }) => onBus)
  return [
    ...violations,
    ...grammar(bus, isReplaced),
    // A fiber that is interrupted before its first turn does not run, so the handler may miss events.
    ...same("the handler", reported, world.isPreemptive && hasLeft ? common(bus, reported) : bus),
    ...transitions(states, isReplaced),
    ...world.failures.filter(({ cause }) => !words.isScripted(cause)).map(({ cause }) =>
      `a fiber has failed: ${words.ofCause(cause)}`
    ),
    ...world.log.filter(({ message }) => !isReport(message)).map(({ message }) => `logged: ${message}`)
  ]
}

const ends: ReadonlyArray<string> = ["closeWhen", "abort"]

/** The invariants when everything that is due has run. */
export const checkQuiet = (subject: Subject): ReadonlyArray<string> => {
  const { answers, asked, running, scenario, state, world } = subject
  const pending = [...asked].filter(([id]) => !answers.has(id))
  const isOpen = state._tag === "Connected" && !state.connection.isLost && !state.connection.mayBeLost
  const isClosing = state._tag === "Closing" || state._tag === "Closed"
  const wrong = pending.filter(([_, { by, op }]) => {
    if (by !== "user") return false
    switch (op) {
      case "connected":
        return isOpen
      case "connectedOrClosed":
        return isOpen || state._tag === "Closed"
      case "connectedOrFailedToConnect":
        return isOpen || isClosing
      case "leave":
        return world.fibers.size === 0
      default:
        return state._tag === "Closed"
    }
  }).map(([id, { op }]) => `${op} of ${id} waits in ${state._tag}`)
  // A finalizer that awaits the end of closing may wait forever.
  if ([...asked].some(([id, { op }]) => op === "close" && answers.get(id)?.endsWith(words.done)) && !isClosing) {
    wrong.push(`${state._tag} after closing`)
  }
  const isEnding = isClosing || (state._tag === "Connected" && state.isLast) ||
    (state._tag === "Waiting" && Option.isNone(state.nextAttemptAt))
  if ([...asked].some(([id, { op }]) => ends.includes(op) && answers.get(id)?.endsWith(words.done)) && !isEnding) {
    wrong.push(`${state._tag}, although no further connection may follow`)
  }
  const waiting = new Set(pending.filter(([_, { op }]) => op !== "closeFinished").map(([id]) => id))
  // D7c: an attempt without a deadline that waits for its own connection in a child waits until closing.
  const isAttemptWaiting = scenario.attemptTimeout === Infinity && pending.some(([_, { by }]) => by === "step")
  const isWaitingForUserCode = world.timers > 0 || isAttemptWaiting ||
    [...running.values()].some((id) => !waiting.has(id))
  if (!isOpen && state._tag !== "Closed" && !isWaitingForUserCode) wrong.push(`${state._tag}, and nothing is running`)
  return wrong
}

/** The invariants after the scope was left and everything has ended. */
export const checkLeft = (subject: Subject): ReadonlyArray<string> => {
  const { connections, hasStreams, service, state, streamed, world } = subject
  const wrong: Array<string> = [...check(subject), ...endReported(subject)]
  const running = [...subject.running.values()]
  if (state._tag !== "Closed") wrong.push(`${state._tag} after leaving`)
  if (world.fibers.size > 0) wrong.push(`${world.fibers.size} fibers alive after leaving; running: ${running.join()}`)
  if (world.sleepers > 0) wrong.push(`${world.sleepers} fibers asleep after leaving`)
  if (running.length > 0) wrong.push(`running after leaving: ${running.join()}`)
  for (const connection of connections) {
    if (connection.releases !== 1) wrong.push(`${connection} was released ${connection.releases} times`)
  }
  // A stream subscribes in a later turn, so it may have missed earlier events.
  const events = [...subject.bus, "end"]
  if (hasStreams) wrong.push(...same("the stream", streamed, events.slice(-Math.max(streamed.length, 2))))
  if (subject.bus.at(-1)?.startsWith("Connected") === true) wrong.push("no Disconnected after leaving")
  wrong.push(...unanswered(subject))
  if (service.toString() === "") wrong.push("toString returns an empty text")
  return wrong
}

/** The end is logged unless the owner caused it. An abort after the end is not logged. */
const endReported = ({ state, world }: Subject): ReadonlyArray<string> => {
  const reports = world.log.filter(({ message }) => isEndReport(message)).length
  const reason = "reason" in state ? state.reason._tag : undefined
  const isRight = reason === "Aborted" ? reports <= 1 : reports === (reason === "GaveUp" ? 1 : 0)
  return isRight ? [] : [`${reports} reports of the end, of which the reason is ${reason}`]
}

/** Pending ops. Once closed, only `connected` may stay pending (A3). */
const unanswered = ({ answers, asked, world }: Subject): ReadonlyArray<string> =>
  [...asked].filter(([id, { by, op }]) =>
    !answers.has(id) && (by === "user" ? op !== "connected" : !world.isPreemptive)
  )
    .map(([id, { op }]) => `${op} of ${id} has no answer`)

/** The elements that also occur in `others`, in order. */
const common = (elements: ReadonlyArray<string>, others: ReadonlyArray<string>): ReadonlyArray<string> => {
  let found = 0
  return elements.filter((element) => element === others[found] && ++found > 0)
}

const same = (what: string, seen: ReadonlyArray<string>, expected: ReadonlyArray<string>): ReadonlyArray<string> => {
  const index = expected.findIndex((each, index) => each !== seen[index])
  if (index === -1 && seen.length === expected.length) return []
  const at = index === -1 ? expected.length : index
  return [`${what} has ${seen[at] ?? "nothing"} where the bus has ${expected[at] ?? "nothing"}, at ${at}`]
}

// Events ---------------------------------------------------------------------------------------------------------

type Name = "AttemptingToConnect" | "ObtainedAddress" | "FailedToConnect" | "Connected" | "Disconnected"

/** The permitted order of events: repetitions of `Attempting (Obtained | Failed)* Connected Disconnected`. */
const followers: Readonly<Record<Name | "", ReadonlyArray<Name>>> = {
  "": ["AttemptingToConnect"],
  AttemptingToConnect: ["ObtainedAddress", "FailedToConnect"],
  ObtainedAddress: ["ObtainedAddress", "FailedToConnect", "Connected"],
  FailedToConnect: ["ObtainedAddress", "FailedToConnect", "Connected"],
  Connected: ["Disconnected"],
  Disconnected: ["AttemptingToConnect"]
}

const grammar = (events: ReadonlyArray<string>, isReplaced: boolean): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  let previous: Name | "" = ""
  let generation = 0
  let attempt = 0
  let reported = { address: "", cause: "" }
  for (const event of events) {
    const [name, number, ...rest] = event.split(" ") as [Name, string, ...ReadonlyArray<string>]
    const succeeds = isReplaced && previous === "Connected" && name === "Connected"
    if (succeeds) generation++
    else if (!followers[previous].includes(name)) wrong.push(`${event} after ${previous}`)
    if (previous === "AttemptingToConnect" || name === "AttemptingToConnect") attempt = 0
    if (name === "ObtainedAddress" || name === "FailedToConnect") {
      if (Number(number) < attempt) wrong.push(`${event} after attempt ${attempt}`)
      attempt = Number(number)
    } else {
      if (name === "AttemptingToConnect") {
        generation++
        reported = { address: "", cause: "" }
      }
      if (Number(number) !== generation) wrong.push(`${event} in generation ${generation}`)
    }
    if (name === "FailedToConnect") {
      if (reported.cause === rest.join(" ")) wrong.push(`${event} has been reported before`)
      reported.cause = rest.join(" ")
    }
    previous = name
  }
  return wrong
}

// States ---------------------------------------------------------------------------------------------------------

type State = ConnectionState<unknown, unknown>

/** The table in the documentation of `ConnectionState`. */
const legal: Readonly<Record<State["_tag"], ReadonlyArray<State["_tag"]>>> = {
  Connecting: ["Connecting", "Connected", "Waiting", "Closing"],
  Connected: ["Connected", "Waiting", "Closing"],
  Waiting: ["Connecting", "Closing"],
  Closing: ["Closing", "Closed"],
  Closed: ["Closed"]
}

const transitions = (states: ReadonlyArray<State>, isReplaced: boolean): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  for (const [index, next] of states.slice(1).entries()) {
    const problem = transition(states[index]!, next, isReplaced)
    if (problem !== undefined) wrong.push(`${states[index]!._tag} → ${next._tag}, at ${index}: ${problem}`)
  }
  return wrong
}

const transition = (from: State, to: State, isReplaced: boolean): string | undefined => {
  if (!legal[from._tag].includes(to._tag)) return "not in the table"
  if (to.since < from.since) return "since earlier"
  if (isReplaced && from._tag === "Connected" && to._tag === "Connected" && to.generation === from.generation + 1) {
    return from.connection === to.connection || from.isLast
      ? "replaced by itself or after the last connection"
      : undefined
  }
  if (from._tag === to._tag && to.since !== from.since) return "the same phase with a different `since`"
  const isNew = from._tag === "Connecting" && to._tag === "Connected"
  if (to.generation !== from.generation + (isNew ? 1 : 0)) return `generation ${from.generation} → ${to.generation}`
  if (from._tag === "Connected" && to._tag === "Connected") {
    if (from.isLast || !to.isLast) return "a change other than to `isLast`"
    if (from.connection !== to.connection) return "another connection"
  }
  if (from._tag === "Connected" && from.isLast && to._tag === "Waiting" && to.nextAttemptAt._tag === "Some") {
    return "another attempt after the last connection"
  }
  if (from._tag === "Waiting" && from.nextAttemptAt._tag === "None" && to._tag === "Connecting") {
    return "an attempt without `nextAttemptAt`"
  }
  if (to._tag === "Closed" && from._tag === "Closing" && ofReason(from.reason) !== ofReason(to.reason)) {
    return "another reason"
  }
  if (from._tag === to._tag && (to._tag === "Closing" || to._tag === "Closed")) {
    const [before, after] = [(from as typeof to).reason, to.reason]
    if (before._tag === "Aborted" || after._tag !== "Aborted") return `${ofReason(before)} → ${ofReason(after)}`
  }
  return undefined
}

const isReport = (message: string): boolean =>
  message.startsWith("The onEvent handler of") || message.startsWith("A finalizer of a connection") ||
  message.startsWith("The retry policy of") || isEndReport(message)

const isEndReport = (message: string): boolean => message.startsWith("The persistent connection to")
