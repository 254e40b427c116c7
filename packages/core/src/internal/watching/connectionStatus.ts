import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Subscribable from "effect/Subscribable"
import * as Status from "../../ConnectionStatus.js"
import type { PersistentConnection, StatusOptions } from "../../PersistentConnection.js"
import type { AnyFiber } from "../base/effect3.js"
import * as option from "../base/options.js"
import { Signal } from "../base/signal.js"
import { millisUntil, sleepUntil } from "../base/time.js"
import { loopOf } from "../loop/service.js"

/** @internal */
export const status = <C, E>(
  self: PersistentConnection<C, E>,
  options?: StatusOptions
): Subscribable.Subscribable<Status.ConnectionStatus<E>> => {
  const { ignoreLossesShorterThan } = option.read(options, readers)
  const loop = loopOf(self)
  const { clock, fibers } = loop

  /** When the present loss is shown, in ms of monotonic time; undefined if that has passed, or there is no loss. */
  const shownAt = (): number | undefined => {
    const { state: { generation }, status: { outage } } = loop
    if (outage === undefined || generation === 0) return undefined
    const at = outage.begunAt + Duration.toMillis(ignoreLossesShorterThan)
    return millisUntil(clock, at) === 0 ? undefined : at
  }

  const current = (): Status.ConnectionStatus<E> => {
    const { state, status: { outage } } = loop
    if (state._tag === "Closing" || state._tag === "Closed") return Status.Closed({ reason: state.reason })
    if (outage === undefined || shownAt() !== undefined) return Status.Connected()
    const { attempt, since } = outage
    const shown = {
      since,
      attempt,
      nextAttemptAt: state._tag === "Waiting" ? state.nextAttemptAt : Option.none(),
      lastCause: state.lastCause
    }
    return state.generation === 0 ? Status.Connecting(shown) : Status.Reconnecting(shown)
  }

  const changes = Stream.unwrapScoped(Effect.gen(function*() {
    // The loop does not wait for a handler that follows the status (D7a).
    yield* Effect.withFiberRuntime<void>((fiber) => Effect.sync(() => fibers.letHandlersGo(fiber as AnyFiber)))
    const changed = new Signal<void>()
    yield* loop.status.observe({ onTransition: () => changed.notify(Exit.void) })
    const next = (previous: Option.Option<Status.ConnectionStatus<E>>): Effect.Effect<Status.ConnectionStatus<E>> =>
      Effect.suspend(() => {
        const status = current()
        if (!Equal.equals(Option.some(status), previous)) return Effect.succeed(status)
        const change = changed.next
        const at = shownAt()
        const wait = at === undefined ? change : Effect.raceFirst(change, sleepUntil(clock, at))
        return Effect.zipRight(wait, next(previous))
      })
    return Stream.unfoldEffect(
      Option.none<Status.ConnectionStatus<E>>(),
      (previous) =>
        Option.exists(previous, ({ _tag }) => _tag === "Closed")
          ? Effect.succeedNone
          : Effect.map(next(previous), (status) => Option.some([status, Option.some(status)]))
    )
  }))
  return Subscribable.make({ get: Effect.sync(current), changes })
}

const readers = { ignoreLossesShorterThan: option.withDefault(option.duration, "2 seconds") }
