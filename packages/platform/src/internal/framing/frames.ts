import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Backlog } from "../backlog.js"

/**
 * The frames that have been read, and not yet been taken.
 *
 * @internal
 */
export class Frames<in out A extends { readonly length: number }, in out E> extends Backlog<A, E> {
  private limit = highWaterMark
  private resumeReader: ((exit: Exit.Exit<void>) => void) | undefined

  /** True if the reader may read on. */
  get hasRoom(): boolean {
    return this.size <= this.limit
  }

  /** Waits for room. Only the reader may wait. */
  get room(): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      if (this.hasRoom) resume(Exit.void)
      else this.resumeReader = resume
    })
  }

  /** Adds a frame, even if there is no room. */
  readonly offer = (frame: A): void => this.add(frame)

  /** From now on there is always room. */
  unbound(): void {
    this.limit = Infinity
    this.onTaken()
  }

  protected onTaken(): void {
    if (!this.hasRoom) return
    const { resumeReader } = this
    this.resumeReader = undefined
    resumeReader?.(Exit.void)
  }
}

/** The size of the waiting frames above which no more is read. */
const highWaterMark = 64 * 1024
