import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
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

/** @internal */
export function succeed(): Answer
export function succeed<Connection>(connection: Connection): Answer<Connection>
export function succeed<Connection>(...args: [] | [Connection]): Answer<Connection> {
  return answer({ _tag: "Succeed", ...(args.length === 1 && { connection: { value: args[0] } }) })
}

/** @internal */
export const failCause = <E>(cause: Cause.Cause<E>): Answer<never, E> => answer({ _tag: "Fail", cause })

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
  decide: (address: Address, attempt: Attempt<Address>) => Answer<Connection, E, Address>
): Answer<Connection, E, Address> => answer({ _tag: "Decide", decide })

/** @internal */
export const delayed = <Connection, E, Address>(
  self: Answer<Connection, E, Address>,
  delay: Duration.DurationInput
): Answer<Connection, E, Address> => answer({ _tag: "Delayed", answer: self, delay: option.duration("delay", delay) })

/** @internal */
export const thenLose = <Connection, E, Address, E2 = never>(
  self: Answer<Connection, E, Address>,
  { after, cause = Cause.empty }: {
    readonly after: Duration.DurationInput
    readonly cause?: Cause.Cause<E2> | undefined
  }
): Answer<Connection, E | E2, Address> =>
  answer<Connection, E | E2, Address>({ _tag: "ThenLose", answer: self, after: option.duration("after", after), cause })
