import * as Connector from "@persistent-connection/core/Connector"
import { IllegalArgumentException } from "effect/Cause"
import type * as Channel from "effect/Channel"
import type * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Inspectable from "effect/Inspectable"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { FramedConnection } from "../../Framing.js"
import { FramingError, type FramingErrorReason } from "../../FramingError.js"
import type { Framer } from "./framer.js"
import { Frames } from "./frames.js"

/** @internal */
export const TypeId = "~persistent-connection/FramedConnection" as const

/** The parts of a framed connection. */
interface Parts<In, Out, E> extends Pick<FramedConnection<In, Out, E>, "receive" | "send" | "received"> {
  readonly error: (reason: FramingErrorReason) => FramingError
  readonly frames: Channel.Channel<Chunk.Chunk<In>, unknown, E>
  /** Ends the connection with this exit, and drops the waiting frames. */
  readonly lose: (exit: Exit.Exit<never, FramingError>) => void
}

/** @internal */
export class Framed<In, Out, E> extends Inspectable.Class implements FramedConnection<In, Out, E> {
  readonly [TypeId]: typeof TypeId = TypeId
  readonly messages: FramedConnection<In, Out, E>["messages"]
  readonly receive: FramedConnection<In, Out, E>["receive"]
  readonly send: FramedConnection<In, Out, E>["send"]
  readonly received: FramedConnection<In, Out, E>["received"]

  constructor(readonly parts: Parts<In, Out, E>) {
    super()
    this.messages = Stream.fromChannel(parts.frames)
    this.receive = parts.receive
    this.send = parts.send
    this.received = parts.received
  }

  toJSON(): unknown {
    return { _id: "FramedConnection", received: this.received() }
  }
}

/** Reads and writes one kind of connection. */
interface Protocol<in Connection, in out Piece, out Frame, in Out, out E> {
  readonly pieces: (connection: Connection) => Stream.Stream<Piece, E>
  readonly framer: () => Framer<Piece, Frame>
  /** Sends a frame. Returns a string with the reason if the value cannot be a frame. */
  readonly send: (connection: Connection, frame: Out) => Effect.Effect<void, E> | string
}

/**
 * The receiving side of one connection. One fiber reads frames, a bounded number of bytes ahead; a second fiber waits
 * for the end of the connection.
 */
class Reception<Connection, Piece, Frame extends { readonly length: number }, E1, E> {
  readonly frames = new Frames<Frame, E1 | FramingError>()
  isLost = false
  private readonly hasRead = Deferred.unsafeMake<void>(FiberId.none)
  private readonly end = Deferred.unsafeMake<unknown, E | E1 | FramingError>(FiberId.none)

  constructor(
    readonly connection: Connection,
    private readonly serverName: string,
    private readonly framer: Framer<Piece, Frame>
  ) {}

  /** Waits until the connection is lost. */
  readonly closed = Deferred.await(this.end)

  read(pieces: Stream.Stream<Piece, E1>): Effect.Effect<void> {
    return Stream.runForEachChunk(pieces, (chunk) => Effect.suspend(() => this.take(chunk))).pipe(
      Effect.zipRight(Effect.suspend(() => {
        const received = this.framer.pending()
        return received === 0 ? Effect.void : this.error({ _tag: "TornFrame", received })
      })),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          // An interruption means that the connection is being released.
          const wrong = Exit.isFailure(exit) && !Exit.isInterrupted(exit) ? exit : undefined
          this.frames.end(wrong ?? Exit.void)
          if (wrong !== undefined) this.lose(wrong)
          Deferred.unsafeDone(this.hasRead, Exit.void)
        })
      ),
      // `closed` reports the failure. If the fiber failed, Effect would log the error with all its content.
      Effect.catchAllCause(() => Effect.void)
    )
  }

  /**
   * Waits for the end of the connection. Then all received bytes are read without a bound, because only after the last
   * one it is known whether the end has torn a frame.
   */
  watch(closed: Effect.Effect<unknown, E>): Effect.Effect<void> {
    return Effect.flatMap(Effect.exit(closed), (exit) => {
      this.frames.unbound()
      return Effect.map(Exit.isSuccess(exit) ? Deferred.await(this.hasRead) : Effect.void, () => this.lose(exit))
    })
  }

  /** Ends the connection with this exit. Only the first call counts. */
  lose(exit: Exit.Exit<unknown, E | E1 | FramingError>): void {
    this.isLost = true
    Deferred.unsafeDone(this.end, exit)
  }

  error(reason: FramingErrorReason): FramingError {
    return new FramingError({ serverName: this.serverName, reason })
  }

  private take(pieces: Chunk.Chunk<Piece>): Effect.Effect<void, FramingError> {
    for (const piece of pieces) {
      const reason = this.framer.take(piece, this.frames.offer)
      if (reason !== undefined) return this.error(reason)
    }
    return this.frames.room
  }
}

/**
 * A connector whose connections are framed.
 *
 * @internal
 */
export const framed = <
  Address,
  Connection extends { readonly received: () => number },
  Piece,
  Frame extends { readonly length: number },
  Out,
  E1,
  E,
  R
>(
  { close, closed, connect, isClosed, probe, terminate }: Connector.Connector<Address, Connection, E, R>,
  protocol: Protocol<Connection, Piece, Frame, Out, E1>
): Connector.Connector<Address, FramedConnection<Frame, Out, E1 | FramingError>, E | E1 | FramingError, R> => {
  type Connected = FramedConnection<Frame, Out, E1 | FramingError>
  const receptions = new WeakMap<Connected, Reception<Connection, Piece, Frame, E1, E>>()
  const receptionOf = (framed: Connected) => {
    const reception = receptions.get(framed)
    if (reception === undefined) throw new IllegalArgumentException("The connection does not belong to this connector")
    return reception
  }
  return Connector.make<Address, Connected, E | E1 | FramingError, E | E1 | FramingError, R | Scope.Scope>({
    connect: (address, attempt) =>
      Effect.gen(function*() {
        const connection = yield* connect(address, attempt)
        const reception = new Reception<Connection, Piece, Frame, E1, E>(
          connection,
          attempt.serverName,
          protocol.framer()
        )
        yield* forkWithConnection(reception.read(Stream.suspend(() => protocol.pieces(connection))))
        yield* forkWithConnection(reception.watch(Effect.suspend(() => closed(connection))))
        const framed = new Framed(partsOf(reception, protocol))
        receptions.set(framed, reception)
        return framed
      }),
    closed: (framed) => Effect.suspend(() => receptionOf(framed).closed),
    isClosed: (framed) => {
      const { connection, isLost } = receptionOf(framed)
      return isLost || isClosed?.(connection) === true
    },
    probe: probe && ((framed) => Effect.suspend(() => probe(receptionOf(framed).connection))),
    terminate: terminate && ((framed) => Effect.suspend(() => terminate(receptionOf(framed).connection))),
    close: close && ((framed) => Effect.suspend(() => close(receptionOf(framed).connection)))
  })
}

/**
 * Forks into the scope of the connection. The fiber is interruptible even if the attempt is not, and does not inherit
 * the context of the attempt, such as its span.
 */
const forkWithConnection = (effect: Effect.Effect<void>): Effect.Effect<unknown, never, Scope.Scope> =>
  Effect.forkScoped(Effect.interruptible(Effect.mapInputContext(effect, () => Context.empty())))

/** A separate function, so that its closures do not retain the other variables of the attempt. */
const partsOf = <
  Connection extends { readonly received: () => number },
  Piece,
  Frame extends { readonly length: number },
  Out,
  E1,
  E
>(
  reception: Reception<Connection, Piece, Frame, E1, E>,
  protocol: Protocol<Connection, Piece, Frame, Out, E1>
): Parts<Frame, Out, E1 | FramingError> => {
  const { connection, frames } = reception
  return {
    error: (reason) => reception.error(reason),
    frames: frames.all,
    receive: frames.one(() => reception.error({ _tag: "Ended" })),
    received: connection.received,
    send: (frame) =>
      Effect.suspend((): Effect.Effect<void, E1 | FramingError> => {
        const sending = protocol.send(connection, frame)
        return typeof sending === "string"
          ? reception.error({ _tag: "EncodeFailed", description: sending })
          : sending
      }),
    lose: (exit) => {
      reception.lose(exit)
      frames.fail(exit)
    }
  }
}
