import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import { constTrue } from "effect/Function"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ConnectionClosed } from "../../ConnectionError.js"
import type { PersistentConnection, Resumed, ResumeOptions } from "../../PersistentConnection.js"
import type { Session } from "../loop/session.js"
import { Handoff } from "./handoff.js"
import { endOf, forEachSession } from "./using.js"

/** With what a session says that its stream has come to an end of its own accord. */
const ended = Symbol("ended")
const isEnded = (u: unknown): u is typeof ended => u === ended

/**
 * Runs something that gives elements in every session as it comes, into one stream. There is one fiber for each
 * session, which can be interrupted at any moment; to interrupt a pull of the consumer would take a fiber for each.
 *
 * After a loss it goes on until there is another connection: by then most streams have come to an end of their own
 * accord, having given everything that was received.
 */
const overSessions = <Connection, E, A, E2, R>(
  self: PersistentConnection<Connection, E>,
  run: (
    session: Session<Connection, E>,
    handoff: Handoff<A, unknown>
  ) => Effect.Effect<never, E2 | typeof ended, R>,
  goesOn: () => boolean
): Stream.Stream<A, E2 | ConnectionClosed<E>, Exclude<R, Scope.Scope>> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const handoff = new Handoff<A, E2 | ConnectionClosed<E>>()
    yield* forEachSession(self, (session) => Effect.scoped(run(session, handoff)), goesOn).pipe(
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
  handoff: Handoff<B, unknown>,
  give: (elements: Chunk.Chunk<A>) => boolean,
  pull: Effect.Effect<Chunk.Chunk<A>, Option.Option<E2>, R>,
  first = pull
): Effect.Effect<never, E2 | typeof ended, R> => {
  const gave = (elements: Chunk.Chunk<A>) => give(elements) ? next : Effect.zipRight(handoff.room, next)
  const next: Effect.Effect<never, Option.Option<E2>, R> = Effect.flatMap(pull, gave)
  return Effect.mapError(Effect.flatMap(first, gave), Option.getOrElse((): typeof ended => ended))
}

/** @internal */
export const stream = <Connection, E, A, E2, R>(
  self: PersistentConnection<Connection, E>,
  f: (connection: Connection) => Stream.Stream<A, E2, R>
): Stream.Stream<A, E2 | ConnectionClosed<E>, Exclude<R, Scope.Scope>> =>
  overSessions(
    self,
    ({ connection }, handoff: Handoff<A, unknown>) =>
      Effect.flatMap(
        Stream.toPull(Stream.suspend(() => f(connection))),
        // It is the first pull that subscribes: so that one does not wait for room.
        (pull) => giving(handoff, (elements) => handoff.give(elements), pull, Effect.zipLeft(pull, handoff.room))
      ),
    constTrue
  )

/** @internal */
export const resumableStream = <Connection, E, A, Cursor, E2, R, E3, R2>(
  self: PersistentConnection<Connection, E>,
  options: ResumeOptions<Connection, A, Cursor, E2, R, E3, R2>
): Stream.Stream<Resumed<A>, E2 | E3 | ConnectionClosed<E>, Exclude<R | R2, Scope.Scope>> =>
  Stream.unwrap(Effect.map(Effect.clock, (clock) => {
    let cursor: Option.Option<Cursor> = Option.none()
    let hasStood = false
    let stands = false
    /** When the gap began of which the mark has not been given yet. */
    let lostAt: Option.Option<number> = Option.none()
    /** Is there anything to be given that was received before? */
    const lost = (): boolean => {
      if (!hasStood || Option.isSome(lostAt)) return false
      lostAt = Option.some(clock.unsafeCurrentTimeMillis())
      return stands
    }
    const run = ({ connection, generation }: Session<Connection, E>, handoff: Handoff<Resumed<A>, unknown>) =>
      Effect.gen(function*() {
        stands = false
        const elements = yield* options.subscribe(connection, cursor)
        const pull = yield* Stream.toPull(elements)
        const restoredAt = clock.unsafeCurrentTimeMillis()
        stands = hasStood = true
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
        return yield* giving(handoff, give, pull)
      }).pipe(Effect.ensuring(Effect.sync(lost)))
    return overSessions(self, run, lost)
  }))
