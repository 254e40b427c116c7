import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ConnectionClosed } from "../ConnectionError.js"
import type { PersistentConnection, Resumed, ResumeOptions } from "../PersistentConnection.js"
import { loopOf } from "./persistentConnection.js"
import type { Session } from "./session.js"
import { forEachSession, isEndOf } from "./using.js"

/** How many elements may wait for the consumer before the connection has to wait. */
const capacity = 256

/** With what a session says that its stream has come to an end of its own accord. */
const ended = Symbol("ended")

/**
 * Runs something that offers elements in every session as it comes, into one stream. It runs in a fiber per session,
 * which can be interrupted at any moment; to interrupt a pull would take a fiber per pull.
 */
const overSessions = <Connection, E, A, E2, R>(
  self: PersistentConnection<Connection, E>,
  run: (
    session: Session<Connection, E>,
    offer: (elements: Chunk.Chunk<A>) => Effect.Effect<void>
  ) => Effect.Effect<void, E2, R>
): Stream.Stream<A, E2 | ConnectionClosed<E>, Exclude<R, Scope.Scope>> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const mailbox = yield* Mailbox.make<A, E2 | ConnectionClosed<E>>({ capacity })
    // What has been received is delivered, whatever becomes of the connection meanwhile.
    const offer = (elements: Chunk.Chunk<A>) => Effect.asVoid(Effect.uninterruptible(mailbox.offerAll(elements)))
    yield* forEachSession(self, (session) =>
      Effect.flatMap(Effect.exit(Effect.scoped(run(session, offer))), (exit) =>
        Effect.if(loopOf(self).hasLost(session), {
          // The end of the connection, of which this is a consequence, is not the end of the stream.
          onTrue: () =>
            Effect.void,
          onFalse: (): Effect.Effect<void, E2 | typeof ended> =>
            Exit.isFailure(exit) ? exit : Effect.fail(ended)
        }))).pipe(
        Effect.catchAllCause((cause) => {
          const error = Cause.failureOption(cause)
          return Option.isSome(error) && (error.value === ended || isEndOf(self, error.value))
            ? mailbox.end
            : mailbox.failCause(cause as Cause.Cause<E2 | ConnectionClosed<E>>)
        }),
        Effect.forkScoped
      )
    // Before the fiber is interrupted, which may be waiting for a consumer that is gone.
    yield* Effect.addFinalizer(() =>
      mailbox.shutdown
    )
    return Mailbox.toStream(mailbox)
  }))

/** @internal */
export const stream = <Connection, E, A, E2, R>(
  self: PersistentConnection<Connection, E>,
  f: (connection: Connection) => Stream.Stream<A, E2, R>
): Stream.Stream<A, E2 | ConnectionClosed<E>, Exclude<R, Scope.Scope>> =>
  overSessions(self, ({ connection }, offer) => Stream.runForEachChunk(Stream.suspend(() => f(connection)), offer))

/** @internal */
export const resumableStream = <Connection, E, A, Cursor, E2, R, E3, R2>(
  self: PersistentConnection<Connection, E>,
  options: ResumeOptions<Connection, A, Cursor, E2, R, E3, R2>
): Stream.Stream<Resumed<A>, E2 | E3 | ConnectionClosed<E>, Exclude<R | R2, Scope.Scope>> =>
  Stream.suspend(() => {
    let cursor: Option.Option<Cursor> = Option.none()
    let lostAt: Option.Option<number> = Option.none()
    return overSessions(
      self,
      ({ connection, generation }, offer: (elements: Chunk.Chunk<Resumed<A>>) => Effect.Effect<void>) =>
        Effect.gen(function*() {
          const elements = yield* options.subscribe(connection, cursor)
          if (Option.isSome(lostAt)) {
            const restoredAt = yield* Clock.currentTimeMillis
            yield* offer(Chunk.of({ _tag: "Gap", generation, lostAt: lostAt.value, restoredAt }))
            lostAt = Option.none()
          }
          yield* Stream.runForEachChunk(elements, (chunk) => {
            const last = Chunk.last(chunk)
            return Effect.zipRight(
              offer(Chunk.map(chunk, (value): Resumed<A> => ({ _tag: "Element", value }))),
              Effect.sync(() => {
                if (Option.isSome(last)) cursor = Option.some(options.cursor(last.value))
              })
            )
          })
        }).pipe(
          Effect.ensuring(Effect.map(Clock.currentTimeMillis, (now) => {
            lostAt = Option.orElse(lostAt, () => Option.some(now))
          }))
        )
    )
  })
