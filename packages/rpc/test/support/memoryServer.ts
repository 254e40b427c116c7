/** An RPC server in memory, for tests in virtual time. */
import type { FromClientEncoded } from "@effect/rpc/RpcMessage"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as Connector from "@persistent-connection/core/Connector"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Mailbox from "effect/Mailbox"
import type * as Stream from "effect/Stream"
import { Counting, handlers, type Tally } from "./counting.js"

export class WireError extends Data.TaggedError("WireError")<{ readonly reason: string }> {}

interface Wire {
  readonly messages: Stream.Stream<string | Uint8Array, WireError>
  readonly send: (data: string | Uint8Array) => Effect.Effect<void, WireError>
  readonly received: () => number
  readonly closed: Effect.Effect<void, WireError>
  readonly close: Effect.Effect<void>
}

/** The server's side of one connection. */
interface Accepted {
  readonly id: number
  readonly give: (data: string | Uint8Array) => void
  readonly end: (exit: Exit.Exit<void, WireError>, endOfMessages?: Exit.Exit<void, WireError>) => void
}

export class MemoryServer {
  /** The messages that clients have sent, by connection: their tags, or that of the procedure. */
  readonly arrived: Array<string> = []
  readonly open = new Map<number, Accepted>()
  opened = 0
  /** Every attempt fails while this is true. */
  isDown = false
  /** Drops everything from clients and to clients. */
  isSilent = false
  /** The answer of `send` of the clients, instead of sending. */
  onSend: ((message: FromClientEncoded) => Effect.Effect<void, WireError> | undefined) | undefined
  onConnect: (() => void) | undefined
  /** The clients know that their connections are about to end. */
  isClosing = false
  private request: (client: number, message: FromClientEncoded) => Effect.Effect<void> = () => Effect.void
  readonly disconnects = Effect.runSync(Mailbox.make<number>())

  constructor(readonly serialization: RpcSerialization.RpcSerialization["Type"] = RpcSerialization.json) {}

  readonly protocol = RpcServer.Protocol.make((write) => {
    this.request = write
    const parser = this.serialization.unsafeMake()
    return Effect.succeed({
      disconnects: this.disconnects,
      send: (client, response) =>
        Effect.sync(() => {
          if (!this.isSilent) this.open.get(client)?.give(parser.encode(response)!)
        }),
      end: () => Effect.void,
      clientIds: Effect.sync(() => new Set(this.open.keys())),
      initialMessage: Effect.succeedNone,
      supportsAck: true,
      supportsTransferables: false,
      supportsSpanPropagation: true
    })
  })

  readonly connector: Connector.Connector<string, Wire, WireError> = Connector.make({
    connect: () =>
      Effect.gen(this, function*() {
        if (this.isDown) return yield* new WireError({ reason: "refused" })
        const id = ++this.opened
        const inbox = yield* Mailbox.make<string | Uint8Array, WireError>()
        const closed = yield* Deferred.make<void, WireError>()
        let received = 0
        const accepted: Accepted = {
          id,
          give: (data) => {
            received++
            inbox.unsafeOffer(data)
          },
          end: (exit, endOfMessages = exit) => {
            this.open.delete(id)
            inbox.unsafeDone(endOfMessages)
            Deferred.unsafeDone(closed, exit)
            this.disconnects.unsafeOffer(id)
          }
        }
        this.open.set(id, accepted)
        yield* Effect.addFinalizer(() => Effect.sync(() => accepted.end(Exit.void)))
        const parser = this.serialization.unsafeMake()
        const wire: Wire = {
          messages: Mailbox.toStream(inbox),
          received: () => received,
          send: (data) =>
            Effect.suspend(() => {
              if (!this.open.has(id)) return new WireError({ reason: "not open" })
              const [message] = parser.decode(data) as [FromClientEncoded]
              const instead = this.onSend?.(message)
              if (instead !== undefined) return instead
              this.arrived.push(`${id} ${message._tag === "Request" ? message.tag : message._tag}`)
              return this.isSilent ? Effect.void : this.request(id, message)
            }),
          closed: Deferred.await(closed),
          close: Effect.sync(() => accepted.end(Exit.void))
        }
        this.onConnect?.()
        return wire
      }),
    closed: (wire) => wire.closed,
    close: (wire) => wire.close,
    isClosed: () => this.isClosing
  })

  /** Ends all connections. */
  kill(cause: Cause.Cause<WireError> = Cause.fail(new WireError({ reason: "killed" }))): void {
    for (const accepted of this.open.values()) {
      accepted.end(Cause.isEmpty(cause) ? Exit.void : Exit.failCause(cause))
    }
  }

  /** Sends to all clients. */
  give(...data: ReadonlyArray<string | Uint8Array>): void {
    for (const accepted of this.open.values()) data.forEach(accepted.give)
  }

  /** Serves the group `Counting` until the scope is closed. */
  serve(tally: Tally) {
    return Layer.launch(RpcServer.layer(Counting, { disableFatalDefects: this.disableFatalDefects })).pipe(
      Effect.provide(handlers(tally)),
      Effect.provideServiceEffect(RpcServer.Protocol, this.protocol),
      Effect.forkScoped,
      Effect.tap((serving) => {
        this.serving = serving
      })
    )
  }

  /** Stops the service, which interrupts the handlers and answers with that. The connections stay open. */
  readonly stop = Effect.suspend(() => this.serving === undefined ? Effect.void : Fiber.interrupt(this.serving))
  private serving: Fiber.Fiber<unknown> | undefined

  disableFatalDefects = false
}
