/**
 * Virtual time without fibers: what happens later in this turn, and what happens in so many ms.
 */
interface Timer {
  readonly at: number
  readonly task: () => void
}

export class Agenda {
  now = 0
  private timers: ReadonlyArray<Timer> = []
  private readonly tasks: Array<() => void> = []

  /** In this turn, after what is to come before it already. */
  soon(task: () => void): void {
    this.tasks.push(task)
  }

  after(millis: number, task: () => void): void {
    this.timers = [...this.timers, { at: this.now + millis, task }]
  }

  /** To the end of the turn. */
  settle(): void {
    for (let task = this.tasks.shift(); task !== undefined; task = this.tasks.shift()) task()
  }

  /** Through everything that is due until then, with what follows from it. */
  advance(millis: number, onSettled: () => void): void {
    const end = this.now + millis
    for (let next = this.dueUntil(end); next !== undefined; next = this.dueUntil(end)) {
      const due = next
      this.timers = this.timers.filter((timer) => timer !== due)
      this.now = due.at
      due.task()
      this.settle()
      onSettled()
    }
    this.now = end
  }

  private dueUntil(end: number): Timer | undefined {
    return this.timers.reduce<Timer | undefined>(
      (first, timer) => timer.at <= end && (first === undefined || timer.at < first.at) ? timer : first,
      undefined
    )
  }
}
