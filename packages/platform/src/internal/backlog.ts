import * as Connector from "@persistent-connection/core/Connector"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/**
 * Elements that wait to be taken, in order, and then the end. Each element goes to one taker only.
 *
 * @internal
 */
export abstract class Backlog<in out A extends { readonly length: number }, in out E> implements Connector.Poll<A, E> {
  /** The size of all waiting elements. */
  protected size = 0
  private elements: Array<A> = none
  /** How many of `elements` have been taken, one by one. */
  private taken = 0
  private exit: Exit.Exit<void, E> | undefined
  private listeners: Set<() => void> | undefined

  /** Called after elements have been taken. */
  protected abstract onTaken(): void

  /** Gives all waiting elements as one chunk, repeatedly, until the end. */
  get all(): Channel.Channel<Chunk.Chunk<A>, unknown, E> {
    return Channel.suspend(() => this.next())
  }

  /** The same as a stream. */
  get stream(): Stream.Stream<A, E> {
    return Connector.withPoll(Stream.fromChannel(this.all), this)
  }

  /** Takes all waiting elements; undefined if there is none. After the last ones, it fails like `all`. */
  poll(): Chunk.Chunk<A> | Exit.Exit<never, Option.Option<E>> | undefined {
    if (this.hasElements) return this.takeAll()
    if (this.exit === undefined) return undefined
    return Exit.isSuccess(this.exit)
      ? Exit.fail(Option.none())
      : Exit.failCause(Cause.map(this.exit.cause, Option.some))
  }

  /** Takes the next element. After the last one, it fails like `all`, or as `onEnd` does if `all` ends regularly. */
  one<E2>(onEnd: () => Effect.Effect<never, E2>): Effect.Effect<A, E | E2> {
    return Effect.suspend(() => {
      const element = this.elements[this.taken]
      if (element !== undefined) {
        this.taken++
        this.size -= sizeOf(element)
        // The array must not grow for ever while elements are taken one by one.
        if (this.taken * 2 > this.elements.length) {
          this.elements = this.elements.slice(this.taken)
          this.taken = 0
        }
        this.onTaken()
        return Exit.succeed(element)
      }
      if (this.exit === undefined) return Effect.zipRight(this.news, this.one(onEnd))
      return Effect.zipRight(this.exit, Effect.suspend(onEnd))
    })
  }

  /** Adds an element, unless the end has come. */
  protected add(element: A): void {
    if (this.exit !== undefined) return
    // An array that grows by `push` has room for 17 elements from the start.
    if (this.elements.length === 0) this.elements = [element]
    else this.elements.push(element)
    this.size += sizeOf(element)
    this.wake()
  }

  /** Ends the backlog after the waiting elements. Only the first end counts. */
  end(exit: Exit.Exit<void, E>): void {
    this.exit ??= exit
    this.wake()
  }

  /** Ends the backlog now: drops the waiting elements. */
  fail(exit: Exit.Exit<never, E>): void {
    this.exit = exit
    this.clear()
    this.onTaken()
    this.wake()
  }

  private next(): Channel.Channel<Chunk.Chunk<A>, unknown, E> {
    const next = () => this.next()
    // There is no yield between taking and writing: an interruption comes before both or after both.
    if (this.hasElements) return Channel.flatMap(Channel.write(this.takeAll()), next)
    return this.exit === undefined
      ? Channel.flatMap(Channel.fromEffect(this.news), next)
      : Channel.fromEffect(this.exit)
  }

  private takeAll(): Chunk.Chunk<A> {
    const elements = this.taken === 0 ? this.elements : this.elements.slice(this.taken)
    this.clear()
    this.onTaken()
    return Chunk.unsafeFromArray(elements)
  }

  /** Waits for an element, or the end. */
  private get news(): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      if (this.hasElements || this.exit !== undefined) return resume(Exit.void)
      const removeListener = this.onArrival(() => {
        removeListener()
        resume(Exit.void)
      })
      return Effect.sync(removeListener)
    })
  }

  /** Calls the listener whenever there is another element, or the end. */
  onArrival(listener: () => void): () => void {
    const listeners = this.listeners ??= new Set()
    listeners.add(listener)
    return () => listeners.delete(listener)
  }

  private get hasElements(): boolean {
    return this.taken < this.elements.length
  }

  /** Takers that find no element wait again. */
  private wake(): void {
    this.listeners?.forEach(call)
  }

  private clear(): void {
    this.elements = none
    this.taken = 0
    this.size = 0
  }
}

/** Elements are added to arrays of their own only. */
const none: Array<never> = []

const call = (listener: () => void): void => listener()

/** An empty element takes memory too. */
const sizeOf = (element: { readonly length: number }): number => element.length + 64
