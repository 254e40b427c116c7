import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import type { Attempt } from "../../Connector.js"
import type { Action, Answer } from "../../testing/TestConnector.js"
import * as option from "../base/options.js"

const Proto: Pipeable = {
  pipe() {
    return pipeArguments(this, arguments)
  }
}

const answer = <Connection = never, E = never, Address = unknown>(
  action: Action<Connection, E, Address>
): Answer<Connection, E, Address> => Object.assign(Object.create(Proto), { action })

const isAnswer = (input: unknown): boolean => Predicate.isRecord(input) && Object.getPrototypeOf(input) === Proto

/** @internal */
export const asAnswer = option.kind("an answer", isAnswer)

/** @internal */
export const asAnswers = option.kind("an array of answers", (input) => Array.isArray(input) && input.every(isAnswer))

/** @internal */
export const asCause = option.kind("a Cause", Cause.isCause)

/** @internal */
export function succeed(): Answer
export function succeed<Connection>(connection: Connection): Answer<Connection>
export function succeed<Connection>(...args: [] | [Connection]): Answer<Connection> {
  return answer({ _tag: "Succeed", ...(args.length === 1 && { connection: { value: args[0] } }) })
}

/** @internal */
export const failCause = <E>(cause: Cause.Cause<E>): Answer<never, E> =>
  answer({ _tag: "Fail", cause: asCause("cause", cause) })

/** @internal */
export const fail = <E>(error: E): Answer<never, E> => failCause(Cause.fail(error))

/** @internal */
export const die = (defect: unknown): Answer => failCause(Cause.die(defect))

/** @internal */
export const hang: Answer = answer({ _tag: "Hang" })

/** @internal */
export const abort = <E>(error: E): Answer<never, E> => answer({ _tag: "Abort", error })

/** @internal */
export const decide = <Address, Connection, E>(
  f: (address: Address, attempt: Attempt<Address>) => Answer<Connection, E, Address>
): Answer<Connection, E, Address> => answer({ _tag: "Decide", decide: option.func("f", f) })

/** @internal */
export const delayed = <Connection, E, Address>(
  self: Answer<Connection, E, Address>,
  delay: Duration.DurationInput
): Answer<Connection, E, Address> =>
  answer({ _tag: "Delayed", answer: asAnswer("self", self), delay: option.duration("delay", delay) })

const lossReaders = { after: option.duration, cause: option.optional(asCause) }

/** @internal */
export const thenLose = <Connection, E, Address, E2 = never>(
  self: Answer<Connection, E, Address>,
  options: { readonly after: Duration.DurationInput; readonly cause?: Cause.Cause<E2> | undefined }
): Answer<Connection, E | E2, Address> => {
  const { after, cause = Cause.empty } = option.read(options, lossReaders)
  return answer<Connection, E | E2, Address>({ _tag: "ThenLose", answer: asAnswer("self", self), after, cause })
}
