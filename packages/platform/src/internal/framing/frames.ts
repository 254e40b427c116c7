import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/**
 * Frames between the fiber that reads them and those that take them: in order, bounded, and then the end.
 *
 * @internal
 */
export class Frames<in out A extends { readonly length: number }, in out E> {
  private waiting: Array<A> = []
  /** How many of those that wait have been taken, one by one. */
  private taken = 0
  /** Of all that wait, also of those that have been taken one by one. */
  private size = 0
  private isBounded = true
  private exit: Exit.Exit<void, E> | undefined
  /** Open while something waits, and from the end on. */
  private readonly news = Effect.unsafeMakeLatch(false)
  /** Open while there is room. */
  private readonly free = Effect.unsafeMakeLatch(true)

  /** Waits for room. */
  get room(): Effect.Effect<void> {
    return this.free.await
  }

  /** All that waits at once, and so on to the end. */
  readonly all: Channel.Channel<Chunk.Chunk<A>, unknown, E> = Channel.suspend(() => {
    if (this.waiting.length > 0) {
      const frames = this.taken === 0 ? this.waiting : this.waiting.slice(this.taken)
      this.clear()
      // Taken and handed on without a yield between them: an interruption comes before both or after both.
      return Channel.zipRight(Channel.write(Chunk.unsafeFromArray(frames)), this.all)
    }
    return this.exit === undefined
      ? Channel.zipRight(Channel.fromEffect(this.news.await), this.all)
      : Channel.fromEffect(this.exit)
  })

  /** The next one, or how it ended. */
  one<E2>(onEnd: () => E2): Effect.Effect<A, E | E2> {
    return Effect.suspend(() => {
      const frame = this.waiting[this.taken]
      if (frame !== undefined) {
        if (++this.taken === this.waiting.length) this.clear()
        return Exit.succeed(frame)
      }
      if (this.exit === undefined) return Effect.zipRight(this.news.await, this.one(onEnd))
      return Effect.zipRight(this.exit, Effect.failSync(onEnd))
    })
  }

  /** Adds one, whether there is room or not, unless the end has come. */
  readonly offer = (frame: A): void => {
    if (this.exit !== undefined) return
    this.waiting.push(frame)
    this.size += sizeOf(frame)
    this.news.unsafeOpen()
    if (this.isBounded && this.size > highWaterMark) this.free.unsafeClose()
  }

  /** From now on there is room for everything. */
  unbound(): void {
    this.isBounded = false
    this.free.unsafeOpen()
  }

  /** What waits is still taken; then this is the end. */
  end(exit: Exit.Exit<void, E>): void {
    this.exit ??= exit
    this.news.unsafeOpen()
  }

  /** This is the end, and what waits is dropped. */
  fail(exit: Exit.Exit<never, E>): void {
    this.exit = exit
    this.clear()
    this.news.unsafeOpen()
  }

  private clear(): void {
    this.waiting = []
    this.taken = 0
    this.size = 0
    if (this.exit === undefined) this.news.unsafeClose()
    this.free.unsafeOpen()
  }
}

/** No more is read ahead. */
const highWaterMark = 64 * 1024

// What is empty takes room too.
const sizeOf = (frame: { readonly length: number }): number => frame.length + 64
