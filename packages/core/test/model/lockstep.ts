/** Runs the model and the real implementation with the same commands, and compares their results. */
import * as Effect from "effect/Effect"
import { isDeepStrictEqual } from "node:util"
import { check, checkLeft, checkQuiet } from "./invariants.js"
import { Model } from "./Model.js"
import { type Command, ends, type Scenario, spread, tick } from "./Scenario.js"
import { Subject } from "./Subject.js"
import * as words from "./words.js"
import { type Options, World } from "./World.js"

/** After this time everything has ended. */
const longAfter = 100 * tick

/** Throws an error that names the difference or the broken invariant. */
export const run = (
  original: Scenario,
  commands: ReadonlyArray<Command>,
  streams: boolean,
  options: Options = {}
): void => {
  const scenario = spread(original)
  const world = new World(options)
  const model = new Model(scenario)
  const subject = new Subject(world, scenario, { streams })
  const asked: Array<string> = []
  const subscribers: Array<{ readonly from: number; readonly seen: ReadonlyArray<string> }> = []
  world.flush()
  const compare = (when: string) => {
    const expected = modelResults(model, subject)
    const got = subjectResults(model, subject)
    for (const [what, value] of Object.entries(expected)) {
      differ(`${when}: ${what}`, value, got[what as keyof typeof got])
    }
    for (const [index, { from, seen }] of subscribers.entries()) {
      differ(`${when}: subscriber ${index}`, model.events.slice(from).map(({ onBus }) => onBus), seen)
    }
    throwIfAny(when, checkQuiet(subject))
  }
  compare("at the beginning")

  let hasLeft = false
  const leave = (id: string) => {
    if (hasLeft) return
    hasLeft = true
    model.leave(id)
    subject.leave(id)
  }
  for (const [index, command] of commands.entries()) {
    const id = `op ${index}`
    // Each command runs in a separate ms.
    model.advance(1)
    world.advance(1)
    switch (command.type) {
      case "advance":
        model.advance(command.ticks * tick)
        world.advance(command.ticks * tick)
        break
      case "op":
        model.ask(command.op, id)
        subject.ask(command.op, id)
        asked.push(id)
        break
      case "interrupt": {
        const target = asked.at(-1 - command.ago)
        if (target !== undefined) {
          model.interrupt(target)
          subject.interrupt(target)
        }
        break
      }
      case "subscribe":
        subscribers.push({ from: Math.max(0, model.events.length - 1), seen: subject.subscribe() })
        break
      case "leave":
        leave(id)
    }
    world.flush()
    compare(`after command ${index}, ${JSON.stringify(command)}`)
  }
  throwIfAny("after the commands", check(subject))
  leave("leave")
  world.flush()
  compare("after leaving")
  model.advance(longAfter)
  world.advance(longAfter)
  compare("at the end")
  throwIfAny("at the end", checkLeft(subject))
  world.end()
}

type Answers = ReadonlyMap<string, string>

const modelResults = (model: Model, subject: Subject) => ({
  events: model.events.map(({ at, toHandler }) => `${at} ${toHandler}`),
  calls: model.calls,
  answers: answersOf(model.answers, subject.answers, subject),
  state: model.state,
  failures: model.failures,
  reports: reportsOf(model.reports, subject)
})

/** The rules do not determine the progress of the last handlers before their interruption. */
const reportsOf = (reports: Model["reports"], { hasLeft }: Subject) => ({
  ...reports,
  handler: hasLeft ? undefined : reports.handler
})

/**
 * Filters out results that the rules do not determine: the last call of interrupted user code, and a connection that
 * was lost in the same ms or before.
 */
const answersOf = (answers: Answers, others: Answers, { answers: got, asked, connections, leftAt }: Subject) => {
  const isOpen = (id: string, answer: string): boolean => {
    const { by, op } = asked.get(id) ?? { by: "user", op: "leave" }
    const other = got.get(id) ?? ""
    const isDead = connections.some(({ lostAt, number }) =>
      other.endsWith(` ${words.connection(number)}`) && Number.parseInt(other) >= lostAt
    )
    const isInterrupted = [answers, others].some((answers) => answers.get(id)?.endsWith(words.interrupted))
    const isLast = isInterrupted || Number.parseInt(answer) >= leftAt ||
      (by === "step" && ends.some((end) => end === op))
    return isDead || (by !== "user" && isLast)
  }
  return Object.fromEntries([...answers].sort().filter(([id, answer]) => !isOpen(id, answer)))
}

const subjectResults = (model: Model, subject: Subject): ReturnType<typeof modelResults> => {
  const { attempt, calls, events, state, world } = subject
  const reports = (text: string) => world.log.filter(({ message }) => message.startsWith(text)).length
  return {
    events: events.map(({ at, toHandler }) => `${at} ${toHandler}`),
    calls,
    answers: answersOf(subject.answers, model.answers, subject),
    state: words.ofState(state),
    failures: attempt === undefined ? 0 : Effect.runSync(attempt.failedAttempts),
    reports: reportsOf({
      handler: reports("The onEvent handler"),
      finalizer: reports("A finalizer"),
      retry: reports("The retry policy")
    }, subject)
  }
}

const differ = (where: string, expected: unknown, got: unknown) => {
  if (isDeepStrictEqual(expected, got)) return
  throw new Error(`${where}\n  model           ${show(expected)}\n  implementation  ${show(got)}`)
}

const show = (value: unknown): string => JSON.stringify(value, null, 1).replaceAll(/\n\s*/g, "\n    ")

const throwIfAny = (when: string, wrong: ReadonlyArray<string>) => {
  if (wrong.length > 0) throw new Error(`${when}\n  ${wrong.join("\n  ")}`)
}
