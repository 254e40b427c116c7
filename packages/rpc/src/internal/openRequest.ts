import type { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Answer } from "../RpcConnector.js"
import type { RpcCallError } from "../RpcError.js"

/** Why a request gets no answer: its connection is lost, or the server has interrupted its handler. */
type Failure<E> = ConnectionLost<E> | RpcCallError

/**
 * One open request, with the answers that it has not taken yet.
 *
 * @internal
 */
export class OpenRequest<E> {
  /** Has it been answered with elements of a stream? */
  isStream = false
  failure: Effect.Effect<never, Failure<E>> | undefined
  private answers: Array<Answer> | undefined
  /** How many of `answers` have been taken. They are removed many at once: `shift` would move all the others. */
  private taken = 0
  /** Goes on with an answer or the failure. The fiber of the request waits for it. */
  private resume: ((effect: Effect.Effect<Answer, Failure<E>>) => void) | undefined

  constructor(readonly procedure: string) {}

  offer(answer: Answer): void {
    if (answer._tag === "Chunk") this.isStream = true
    if (!this.goOn(Exit.succeed(answer))) (this.answers ??= []).push(answer)
  }

  /** There will be no more answers. The fiber of the request runs this effect after it has taken all answers. */
  fail(failure: Effect.Effect<never, Failure<E>>): void {
    this.failure = failure
    this.goOn(failure)
  }

  private goOn(effect: Effect.Effect<Answer, Failure<E>>): boolean {
    const { resume } = this
    this.resume = undefined
    resume?.(effect)
    return resume !== undefined
  }

  /** Calls `onAnswer` with each answer, up to the last one. */
  deliver<E2, R>(
    onAnswer: (answer: Answer) => Effect.Effect<void, E2, R>
  ): Effect.Effect<void, E2 | Failure<E>, R> {
    return Effect.flatMap(this.next(), (answer) => {
      const delivered = onAnswer(answer)
      return answer._tag === "Chunk" ? Effect.flatMap(delivered, () => this.deliver(onAnswer)) : delivered
    })
  }

  private next(): Effect.Effect<Answer, Failure<E>> {
    const { answers = [] } = this
    const answer = answers[this.taken]
    if (answer === undefined) return this.failure ?? this.arrival
    if (++this.taken * 2 > answers.length) {
      answers.splice(0, this.taken)
      this.taken = 0
    }
    return Exit.succeed(answer)
  }

  /** Waits for an answer or the failure. It need not be cancelled: resuming an interrupted fiber has no effect. */
  private get arrival(): Effect.Effect<Answer, Failure<E>> {
    return Effect.async((resume) => {
      // The fiber may have had to yield before it began to wait.
      if ((this.answers?.length ?? 0) > this.taken || this.failure !== undefined) {
        return resume(Effect.suspend(() => this.next()))
      }
      this.resume = resume
    })
  }
}
