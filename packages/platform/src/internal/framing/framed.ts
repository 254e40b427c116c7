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

/** What a framed connection is made of. */
interface Parts<In, Out, E> extends Pick<FramedConnection<In, Out, E>, "receive" | "send" | "received"> {
  readonly error: (reason: FramingErrorReason) => FramingError
  readonly frames: Channel.Channel<Chunk.Chunk<In>, unknown, E>
  /** Ends the connection, which is lost with this from that moment. */
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

/** How a connection is read and written. */
interface Protocol<in Connection, in out Piece, out Frame, in Out, out E> {
  readonly pieces: (connection: Connection) => Stream.Stream<Piece, E>
  readonly framer: () => Framer<Piece, Frame>
  /** Sends a frame; or says why it cannot be one. */
  readonly send: (connection: Connection, frame: Out) => Effect.Effect<void, E> | string
}

/**
 * The receiving side of one connection: a fiber that reads frames, a bounded number of bytes ahead, and one that
 * watches for the end of the connection.
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
          // An interruption comes with the release of the connection.
          const wrong = Exit.isFailure(exit) && !Exit.isInterrupted(exit) ? exit : undefined
          this.frames.end(wrong ?? Exit.void)
          if (wrong !== undefined) this.lose(wrong)
          Deferred.unsafeDone(this.hasRead, Exit.void)
        })
      ),
      // The failure is reported in `closed`. Of a fiber that fails Effect logs why, with all that the error carries.
      Effect.catchAllCause(() => Effect.void)
    )
  }

  /** The end may have torn a frame. That is known when all that was received has been read, room or not. */
  watch(closed: Effect.Effect<unknown, E>): Effect.Effect<void> {
    return Effect.flatMap(Effect.exit(closed), (exit) => {
      this.frames.unbound()
      return Effect.map(Exit.isSuccess(exit) ? Deferred.await(this.hasRead) : Effect.void, () => this.lose(exit))
    })
  }

  /** The connection is lost with this, unless it has been lost. */
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
    if (reception === undefined) throw new IllegalArgumentException("The connection is not one of this connector's")
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

/** Interruptible even if the attempt is not, and without what the attempt had: its span, for one, has ended. */
const forkWithConnection = (effect: Effect.Effect<void>): Effect.Effect<unknown, never, Scope.Scope> =>
  Effect.forkScoped(Effect.interruptible(Effect.mapInputContext(effect, () => Context.empty())))

/** A function by itself, so that nothing else of the attempt is kept as long as the connection lives. */
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
