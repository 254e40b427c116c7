import type * as Exit from "effect/Exit"
import { Backlog } from "./backlog.js"

/**
 * The sender of the messages, and the limits for them.
 *
 * @internal
 */
export interface Source {
  /** Can the sender be paused? */
  readonly canPause: boolean
  /** Called when more than the high-water mark waits. */
  readonly pause: () => void
  /** Called when half of the high-water mark is reached again. Only called after `pause`. */
  readonly resume: () => void
  readonly settings: {
    readonly receiveHighWaterMark: number
    /** If the sender cannot be paused, messages are refused while more than this waits. */
    readonly receiveLimit: number
  }
}

/**
 * The receiving side of a connection, between callbacks and effects.
 *
 * @internal
 */
export class Inbox<in out A extends { readonly length: number }, in out E> extends Backlog<A, E> {
  /** The number of messages so far, dropped ones included. */
  received = 0
  private limit: number
  private mayPause: boolean
  private paused = false
  private isClosed = false

  constructor(private readonly source: Source) {
    super()
    this.mayPause = source.canPause
    this.limit = source.canPause ? Infinity : source.settings.receiveLimit
  }

  get isPaused(): boolean {
    return this.paused
  }

  /** Adds a message, or drops it after `close`. Returns false if there is no room for it. */
  offer(message: A): boolean {
    this.received++
    if (this.isClosed) return true
    if (this.size > this.limit) return false
    this.add(message)
    // After a pause, the platform may still deliver buffered messages, so there is no limit.
    if (this.mayPause && !this.paused && this.size > this.source.settings.receiveHighWaterMark) {
      this.paused = true
      this.source.pause()
    }
    return true
  }

  /** Resumes the sender for good, to notice its close. From now on, the limit applies. */
  letIn(): void {
    if (this.mayPause) this.limit = this.size + this.source.settings.receiveLimit
    this.mayPause = false
    this.unpause()
  }

  /** Drops all later messages. */
  close(): void {
    this.isClosed = true
    this.letIn()
  }

  override end(exit: Exit.Exit<void, E>): void {
    this.close()
    super.end(exit)
  }

  protected onTaken(): void {
    if (this.size <= this.source.settings.receiveHighWaterMark / 2) this.unpause()
  }

  private unpause(): void {
    if (!this.paused) return
    this.paused = false
    this.source.resume()
  }
}
