import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ConnectionClosed } from "../ConnectionError.js"
import type { PersistentConnection, Resumed, ResumeOptions } from "../PersistentConnection.js"
import { Handoff } from "./handoff.js"
import type { Session } from "./session.js"
import { endOf, forEachSession } from "./using.js"

/** With what a session says that its stream has come to an end of its own accord. */
const ended = Symbol("ended")
const isEnded = (u: unknown): u is typeof ended => u === ended

/**
 * Runs something that gives elements in every session as it comes, into one stream. There is one fiber for each
 * session, which can be interrupted at any moment; to interrupt a pull of the consumer would take a fiber for each.
 */
const overSessions = <Connection, E, A, E2, R>(
  self: PersistentConnection<Connection, E>,
  run: (
    session: Session<Connection, E>,
    handoff: Handoff<A, unknown>
  ) => Effect.Effect<never, E2 | typeof ended, R>
): Stream.Stream<A, E2 | ConnectionClosed<E>, Exclude<R, Scope.Scope>> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const handoff = new Handoff<A, E2 | ConnectionClosed<E>>()
    yield* forEachSession(self, (session) => Effect.scoped(run(session, handoff))).pipe(
      Effect.catchIf(isEnded, () => Effect.void),
      Effect.flatMap((closed) => closed === undefined ? Effect.void : endOf(closed)),
      Effect.exit,
      Effect.map((exit) => handoff.finish(exit)),
      Effect.interruptible,
      Effect.forkScoped
    )
    return Stream.fromChannel(handoff.channel)
  }))

/** Gives what comes, chunk by chunk, as long as there is room. */
const giving = <A, B, E2, R>(
  pull: Effect.Effect<Chunk.Chunk<A>, Option.Option<E2>, R>,
  give: (elements: Chunk.Chunk<A>) => boolean,
  handoff: Handoff<B, unknown>
): Effect.Effect<never, Option.Option<E2>, R> => {
  const next: Effect.Effect<never, Option.Option<E2>, R> = Effect.flatMap(
    pull,
    (elements) => give(elements) ? next : Effect.zipRight(handoff.room, next)
  )
  return next
}

const failedOrEnded = <A, E2, R>(effect: Effect.Effect<A, Option.Option<E2>, R>) =>
  Effect.mapError(effect, Option.getOrElse((): typeof ended => ended))

/** @internal */
export const stream = <Connection, E, A, E2, R>(
  self: PersistentConnection<Connection, E>,
  f: (connection: Connection) => Stream.Stream<A, E2, R>
): Stream.Stream<A, E2 | ConnectionClosed<E>, Exclude<R, Scope.Scope>> =>
  overSessions(
    self,
    ({ connection }, handoff: Handoff<A, unknown>) =>
      Effect.flatMap(Stream.toPull(Stream.suspend(() => f(connection))), (pull) => {
        const give = (elements: Chunk.Chunk<A>) => handoff.give(elements)
        // It is the first pull that subscribes, so it does not wait for room.
        const first = Effect.zipLeft(pull, handoff.room)
        return failedOrEnded(
          Effect.flatMap(first, (elements) => {
            const next = giving(pull, give, handoff)
            return give(elements) ? next : Effect.zipRight(handoff.room, next)
          })
        )
      })
  )

/** @internal */
export const resumableStream = <Connection, E, A, Cursor, E2, R, E3, R2>(
  self: PersistentConnection<Connection, E>,
  options: ResumeOptions<Connection, A, Cursor, E2, R, E3, R2>
): Stream.Stream<Resumed<A>, E2 | E3 | ConnectionClosed<E>, Exclude<R | R2, Scope.Scope>> =>
  Stream.suspend(() => {
    let cursor: Option.Option<Cursor> = Option.none()
    let isFirst = true
    let lostAt: Option.Option<number> = Option.none()
    const lost = Effect.map(Clock.currentTimeMillis, (now) => {
      // Until the mark has been given, the gap goes on.
      if (!isFirst && Option.isNone(lostAt)) lostAt = Option.some(now)
    })
    return overSessions(self, ({ connection, generation }, handoff: Handoff<Resumed<A>, unknown>) =>
      Effect.gen(function*() {
        const pull = yield* Stream.toPull(
          yield* Effect.suspend(() =>
            options.subscribe(connection, cursor)
          )
        )
        const restoredAt = yield* Clock.currentTimeMillis
        isFirst = false
        yield* handoff.room
        if (Option.isSome(lostAt)) {
          handoff.give(Chunk.of({ _tag: "Gap", generation, lostAt: lostAt.value, restoredAt }))
          lostAt = Option.none()
          yield* handoff.room
        }
        const give = (elements: Chunk.Chunk<A>) => {
          const last = Option.map(Chunk.last(elements), options.cursor)
          const hasRoom = handoff.give(Chunk.map(elements, (value): Resumed<A> => ({ _tag: "Element", value })))
          cursor = Option.orElse(last, () => cursor)
          return hasRoom
        }
        return yield* failedOrEnded(giving(pull, give, handoff))
      }).pipe(Effect.ensuring(lost)))
  })
