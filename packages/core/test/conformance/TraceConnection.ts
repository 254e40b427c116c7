/** A connection with a scripted lifetime and close. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type { ReplayContext } from "./Context.js"
import type { ConnectCall } from "./Trace.js"

export class TraceConnection {
  /** True once closing has begun. */
  isClosed = false
  private readonly finished = Deferred.unsafeMake<void>(FiberId.none)
  /** Waits until the close has finished. */
  readonly closeFinished = Deferred.await(this.finished)

  constructor(readonly context: ReplayContext, readonly id: number, readonly script: ConnectCall) {
    if (script.born_closed === true) {
      this.isClosed = true
      this.finish()
    }
    if (script.life !== undefined) context.clock.after(script.life, () => this.peerClose())
  }

  /** The peer closes the connection. */
  peerClose(): void {
    if (this.isClosed) return
    this.isClosed = true
    this.log("peer_close")
    this.finishIn(this.script.close_lag, "peer")
  }

  /** Begins the close unless it has begun, and waits until it has finished. */
  close(by: "kernel" | "user"): Effect.Effect<void> {
    return Effect.suspend(() => {
      const isFirst = !this.isClosed
      this.isClosed = true
      if (isFirst) this.log("conn_close", by)
      // Like the original: every call throws, and the close never finishes by itself.
      if (this.script.close_raise !== undefined) throw new Error(this.script.close_raise)
      if (isFirst && this.script.close_never !== true) this.finishIn(this.script.close_takes, by)
      return this.closeFinished
    })
  }

  private finishIn(millis: number | undefined, by: string): void {
    const finish = () => {
      this.log("conn_closed", by)
      this.finish()
    }
    if (millis === undefined) finish()
    else this.context.clock.after(millis, finish)
  }

  private finish(): void {
    Deferred.unsafeDone(this.finished, Exit.void)
  }

  private log(ev: string, by?: string): void {
    this.context.log(`conn${this.id}`, { ev, conn: this.id, ...(by === undefined ? {} : { by }) })
  }
}
