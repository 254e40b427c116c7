import * as Effect from "effect/Effect"
import { Backlog } from "../backlog.js"

/**
 * The frames that have been read, and not yet been taken.
 *
 * @internal
 */
export class Frames<in out A extends { readonly length: number }, in out E> extends Backlog<A, E> {
  private isBounded = true
  /** Open while there is room. */
  private readonly free = Effect.unsafeMakeLatch(true)

  /** Waits for room. */
  get room(): Effect.Effect<void> {
    return this.free.await
  }

  /** Adds a frame, even if there is no room. */
  readonly offer = (frame: A): void => {
    this.add(frame)
    if (this.isBounded && this.size > highWaterMark) this.free.unsafeClose()
  }

  /** From now on there is always room. */
  unbound(): void {
    this.isBounded = false
    this.free.unsafeOpen()
  }

  protected onTaken(): void {
    if (this.size <= highWaterMark) this.free.unsafeOpen()
  }
}

/** The size of the waiting frames above which no more is read. */
const highWaterMark = 64 * 1024
