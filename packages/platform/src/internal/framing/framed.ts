import * as Connector from "@persistent-connection/core/Connector"
import { IllegalArgumentException } from "effect/Cause"
import type * as Channel from "effect/Channel"
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Inspectable from "effect/Inspectable"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { FramedConnection } from "../../Framing.js"
import { FramingError, type FramingErrorReason } from "../../FramingError.js"
import { Ending } from "../ending.js"
import type { Framer } from "./framer.js"
import { Frames } from "./frames.js"

/** @internal */
export const TypeId = "~persistent-connection/FramedConnection" as const

/** The parts of a framed connection. */
interface Parts<In, Out, E> extends Pick<FramedConnection<In, Out, E>, "receive" | "send" | "received" | "close"> {
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
  readonly close: FramedConnection<In, Out, E>["close"]

  constructor(readonly parts: Parts<In, Out, E>) {
    super()
    this.messages = Stream.fromChannel(parts.frames)
    this.receive = parts.receive
    this.send = parts.send
    this.received = parts.received
    this.close = parts.close
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
  /** Fails with the reason for the end once the connection has ended, if the transport has a `receive`. */
  readonly receive: (connection: Connection) => Effect.Effect<unknown, E> | undefined
  readonly close: (connection: Connection, code?: number, reason?: string) => Effect.Effect<void, E> | undefined
}

/** The receiving side of one connection. It reads frames, a bounded number of bytes ahead. */
class Reception<Connection, Piece, Frame extends { readonly length: number }, E1, E>
  extends Ending<unknown, E | E1 | FramingError>
  implements Connector.Receiver<Piece, E1 | FramingError, E, FramingError>
{
  readonly frames = new Frames<Frame, E1 | FramingError>()
  private hasRead = false
  private transportEnd: Exit.Exit<unknown, E> | undefined

  constructor(
    readonly connection: Connection,
    private readonly serverName: string,
    private readonly framer: Framer<Piece, Frame>
  ) {
    super()
  }

  take(pieces: Chunk.Chunk<Piece>): Effect.Effect<void, FramingError> {
    for (const piece of pieces) {
      const reason = this.framer.take(piece, this.frames.offer)
      if (reason !== undefined) return this.error(reason)
    }
    return this.frames.hasRoom ? Effect.void : this.frames.room
  }

  onRead(read: Exit.Exit<void, E1 | FramingError>): void {
    this.hasRead = true
    const received = Exit.isSuccess(read) ? this.framer.pending() : 0
    const end = received === 0 ? read : Exit.fail(this.error({ _tag: "TornFrame", received }))
    this.frames.end(end)
    const last = Exit.isFailure(end) ? end : this.transportEnd
    if (last !== undefined) this.lose(last)
  }

  /**
   * Only after the last received byte it is known whether a regular end has torn a frame. So all of them are read,
   * without a bound.
   */
  onClosed(exit: Exit.Exit<unknown, E>): void {
    this.transportEnd = exit
    if (this.hasRead || Exit.isFailure(exit)) this.lose(exit)
    this.frames.unbound()
  }

  get release(): Effect.Effect<void> {
    return Effect.sync(() => this.frames.end(Exit.void))
  }

  /** Ends the connection with this exit. Only the first call counts. */
  lose(exit: Exit.Exit<unknown, E | E1 | FramingError>): void {
    this.finish(exit)
  }

  error(reason: FramingErrorReason): FramingError {
    return new FramingError({ serverName: this.serverName, reason })
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
        // Added first, so the messages end when nothing is read any more.
        yield* Scope.addFinalizer(yield* Effect.scope, reception.release)
        yield* Connector.readInBackground(protocol.pieces(connection), closed(connection), reception)
        const framed = new Framed(partsOf(reception, protocol))
        receptions.set(framed, reception)
        return framed
      }),
    closed: (framed) => receptionOf(framed).closed,
    isClosed: (framed) => {
      const { connection, ended } = receptionOf(framed)
      return ended !== undefined || isClosed?.(connection) === true
    },
    probe: probe && ((framed) => Effect.suspend(() => probe(receptionOf(framed).connection))),
    terminate: terminate && ((framed) => Effect.suspend(() => terminate(receptionOf(framed).connection))),
    close: close && ((framed) => Effect.suspend(() => close(receptionOf(framed).connection)))
  })
}

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
    receive: frames.one((): Effect.Effect<never, E1 | FramingError> => {
      const received = protocol.receive(connection)
      // What the transport still has is no frame any more.
      return received === undefined ? reception.error({ _tag: "Ended" }) : Effect.forever(received)
    }),
    received: connection.received,
    close: (code, reason) => Effect.suspend(() => protocol.close(connection, code, reason) ?? Effect.void),
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
