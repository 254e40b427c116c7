/**
 * Who has asked what, who waits for what, and what the answers were.
 */
import type { Agenda } from "./Agenda.js"

/** Who asks: what cannot be kept waiting by what it keeps waiting itself (D7). */
export interface Asker {
  readonly kind: "user" | "handler" | "step" | "finalizer"
  /** Nothing that it would do next will happen. */
  isGone: boolean
}

/**
 * - `changed`: a connection has been established, or there will be no other;
 * - `results`: an attempt has ended, or there will be no other;
 * - `finished`: closing has finished.
 */
export type Signal = "changed" | "results" | "finished"

interface Waiter {
  readonly id: string
  readonly signal: Signal
  readonly asker: Asker
  readonly proceed: (value: string) => void
}

export class Desk {
  /** By what was asked: when, and what. */
  readonly answers = new Map<string, string>()
  private waiters: ReadonlyArray<Waiter> = []

  constructor(private readonly agenda: Agenda) {}

  wait(waiter: Waiter): void {
    this.waiters = [...this.waiters, waiter]
  }

  notify(signal: Signal, value = ""): void {
    for (const waiter of this.take((waiter) => waiter.signal === signal)) {
      this.agenda.soon(() => waiter.asker.isGone ? this.interrupted(waiter.id) : waiter.proceed(value))
    }
  }

  /** The first answer counts: who has been interrupted does not hear another. */
  answer(id: string, answer: string): void {
    if (!this.answers.has(id)) this.answers.set(id, `${this.agenda.now} ${answer}`)
  }

  interrupt(id: string): void {
    this.take((waiter) => waiter.id === id)
    this.interrupted(id)
  }

  /** Nothing that they would do next will happen. */
  dismiss(asker: Asker): void {
    asker.isGone = true
    for (const { id } of this.take((waiter) => waiter.asker === asker)) this.interrupted(id)
  }

  private interrupted(id: string): void {
    this.answer(id, "interrupted")
  }

  private take(which: (waiter: Waiter) => boolean): ReadonlyArray<Waiter> {
    const taken = this.waiters.filter(which)
    this.waiters = this.waiters.filter((waiter) => !which(waiter))
    return taken
  }
}
