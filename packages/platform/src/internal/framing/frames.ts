import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/**
 * A bounded queue between the fiber that reads frames and the fibers that take them. After the last frame it delivers
 * the end of the connection.
 *
 * @internal
 */
export class Frames<in out A extends { readonly length: number }, in out E> {
  private waiting: Array<A> = []
  /** The number of frames at the start of `waiting` that `one` has taken. */
  private taken = 0
  /** The size of all frames in `waiting`, including the taken ones. */
  private size = 0
  private isBounded = true
  private exit: Exit.Exit<void, E> | undefined
  /** Open while frames wait, and after the end. */
  private readonly news = Effect.unsafeMakeLatch(false)
  /** Open while there is room. */
  private readonly free = Effect.unsafeMakeLatch(true)

  /** Waits for room. */
  get room(): Effect.Effect<void> {
    return this.free.await
  }

  /** Delivers all waiting frames as one chunk, repeatedly until the end. */
  readonly all: Channel.Channel<Chunk.Chunk<A>, unknown, E> = Channel.suspend(() => {
    if (this.waiting.length > 0) {
      const frames = this.taken === 0 ? this.waiting : this.waiting.slice(this.taken)
      this.clear()
      // No yield between taking and delivering: an interruption cannot lose frames in between.
      return Channel.zipRight(Channel.write(Chunk.unsafeFromArray(frames)), this.all)
    }
    return this.exit === undefined
      ? Channel.zipRight(Channel.fromEffect(this.news.await), this.all)
      : Channel.fromEffect(this.exit)
  })

  /** Takes the next frame. At the end it fails with the error of the connection, or with `onEnd` if there is none. */
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

  /** Adds a frame, even without room. Does nothing after the end. */
  readonly offer = (frame: A): void => {
    if (this.exit !== undefined) return
    this.waiting.push(frame)
    this.size += sizeOf(frame)
    this.news.unsafeOpen()
    if (this.isBounded && this.size > highWaterMark) this.free.unsafeClose()
  }

  /** Removes the bound. */
  unbound(): void {
    this.isBounded = false
    this.free.unsafeOpen()
  }

  /** Ends the queue after the waiting frames. */
  end(exit: Exit.Exit<void, E>): void {
    this.exit ??= exit
    this.news.unsafeOpen()
  }

  /** Ends the queue at once and drops the waiting frames. */
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

/** The reader pauses above this size. */
const highWaterMark = 64 * 1024

// An empty frame occupies memory too.
const sizeOf = (frame: { readonly length: number }): number => frame.length + 64
