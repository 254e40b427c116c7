/**
 * An executable model of the rules, without fibers, in virtual time. It gets the same commands as the real
 * implementation and predicts its results. In a `spread` scenario two actions happen in the same ms only if one causes
 * the other, so their order does not matter here.
 */
import { VirtualClock } from "#internal/testing/virtualClock.js"
import {
  type Call,
  type Connect,
  deadlineOf,
  type Handling,
  mostDeaths,
  type Op,
  type Scenario,
  type Step,
  tick,
  toMillis
} from "./Scenario.js"
import * as words from "./words.js"
import type { EventWords, StateWords } from "./words.js"

/** The caller of an op. A caller must not wait for code that waits for the caller (D7). */
interface Caller {
  readonly kind: "user" | "handler" | "step" | "finalizer"
  /** True once the caller was interrupted: it takes no further steps. */
  isGone: boolean
}

/**
 * - `changed`: a connection was established, or no further connection will follow;
 * - `results`: an attempt has ended, or no further attempt will follow;
 * - `finished`: closing has finished.
 */
type Signal = "changed" | "results" | "finished"

interface Waiter {
  readonly id: string
  readonly signal: Signal
  readonly caller: Caller
  readonly proceed: (value: string) => void
}

interface Connection {
  readonly number: number
  readonly script: Connect
  lost: string | undefined
  /** True once the loop has noticed the loss. */
  isGone: boolean
  onLoss: () => void
}

interface StepCall extends Caller {
  readonly script: Step
  connection: Connection | undefined
  hasEnded: boolean
  onEnd: (result: string) => void
}

interface HandlerCall extends Caller {
  /** Called when the loop continues: the handler has ended, or the loop does not wait for it any more (D7a). */
  onSettled: () => void
}

/** Receives the result of an op. A result that is a defect becomes a defect of the caller. */
type Done = (answer: string) => void

const nothing = () => {}
const user: Caller = { kind: "user", isGone: false }

export class Model {
  readonly events: Array<EventWords & { readonly at: number }> = []
  /** The time and the result of each op, by its id. */
  readonly answers = new Map<string, string>()
  readonly calls: Array<string> = []
  /** The number of logged failures. */
  readonly reports = { handler: 0, finalizer: 0, retry: 0 }
  failures = 0

  private tag: StateWords["tag"] = "Connecting"
  private since = 0
  private generation = 0
  private number = 0
  private address: string | undefined
  private lastCause: string | undefined
  private deadlineAt: number | undefined
  private nextAttemptAt: number | undefined
  /** The reason why no further connection will follow; undefined after a plain `close`. */
  private ending: string | undefined
  /** True after the first abort or `closeWhen`. Only the first one counts (X5). */
  private isDecided = false
  private hasFinished = false
  /** The id of the op that left the scope. */
  private leaving: string | undefined

  private cycle: { address?: string; cause?: string } = {}
  private begunAt = 0
  private previousAddress: string | undefined
  private turn = 0
  private session: Connection | undefined
  private step: StepCall | undefined
  private handler: HandlerCall | undefined
  private newest: Connection | undefined
  private canAbort = false

  /** The number of the current leg of the cycle. A new leg cancels the pending steps of the previous one. */
  private leg = 0
  /** The number of running releases and uninterruptible steps. Leaving the scope waits for them. */
  private busy = 0
  private counts = { lookUps: 0, connects: 0, handlings: 0 }
  private readonly handlers = new Set<HandlerCall>()
  private readonly clock = new VirtualClock()
  private waiters: ReadonlyArray<Waiter> = []

  constructor(private readonly scenario: Scenario) {
    this.beginCycle()
  }

  private get now(): number {
    return this.clock.now
  }

  get state(): StateWords {
    const { address, generation, lastCause, since, tag } = this
    return { tag, since, generation, attempt: Math.max(this.number, 1), address, lastCause, details: this.details }
  }

  private get details(): StateWords["details"] {
    switch (this.tag) {
      case "Connecting":
        return [this.deadlineAt]
      case "Connected":
        return [this.session?.number, this.ending !== undefined]
      case "Waiting":
        return [this.nextAttemptAt]
      case "Closing":
        return [this.session?.number, this.reason]
      case "Closed":
        return [this.reason]
    }
  }

  // Commands -------------------------------------------------------------------------------------------------------

  advance(millis: number): void {
    this.clock.advanceTo(this.now + millis)
  }

  ask(op: Op, id: string): void {
    this.perform(op, id, user, nothing)
  }

  interrupt(id: string): void {
    this.dequeue((waiter) => waiter.id === id)
    this.answer(id, words.interrupted)
  }

  leave(id: string): void {
    this.leaving = id
    for (const handler of this.handlers) this.dismiss(handler)
    this.beginClosing()
    for (const handler of this.handlers) this.stopHandler(handler)
    this.onFreed()
  }

  /** Leaving the scope waits for everything that is uninterruptible. */
  private onFreed(): void {
    if (this.leaving !== undefined && this.tag === "Closed" && this.busy === 0) this.answer(this.leaving, words.done)
  }

  // The cycle ------------------------------------------------------------------------------------------------------

  private beginCycle(): void {
    this.cycle = {}
    this.number = 0
    this.enter("Connecting")
    this.report(words.attempting(this.generation + 1), () => this.attempt())
  }

  private attempt(): void {
    const { lookUps } = this.scenario
    this.begunAt = this.now
    this.previousAddress = this.address
    this.number++
    const number = this.counts.lookUps++
    const timeLeft = deadlineOf(this.scenario)
    const script = entry(lookUps, number)
    this.take(script, `lookUp ${number}`, timeLeft, undefined, (result) => {
      if (result !== words.done) return this.failed(result)
      const left = timeLeft - (this.now - this.begunAt)
      this.step = undefined
      const isKnown = this.cycle.address === script.text
      this.address = this.cycle.address = script.text
      this.enter("Connecting")
      if (isKnown) this.connect(left)
      else this.report(words.obtained(this.number, script.text), () => this.connect(left))
    })
  }

  private connect(timeLeft: number): void {
    const number = this.counts.connects++
    const script = entry(this.scenario.connects, number)
    this.take(script, `connect ${number} to ${this.address}`, timeLeft, { number, script }, (result, connection) => {
      if (result !== words.done) return this.failed(result)
      this.established(connection!)
    })
  }

  /** Runs a look-up or a connect within the remaining time. */
  private take(
    script: Step,
    what: string,
    timeLeft: number,
    opens: { readonly number: number; readonly script: Connect } | undefined,
    then: (result: string, connection?: Connection) => void
  ): void {
    const { leg } = this
    const end = (result: string) => {
      if (leg === this.leg && this.step === step) then(result, step.connection)
    }
    const step: StepCall = {
      kind: "step",
      script,
      isGone: false,
      hasEnded: false,
      connection: undefined,
      onEnd: end
    }
    this.step = step
    this.enter("Connecting")
    if (timeLeft !== Infinity) {
      this.deadlineAt = this.now + timeLeft
      this.after(timeLeft, () => end(words.timeout))
    }
    this.canAbort = true
    this.calls.push(
      `${this.now} ${what}: ${this.generation + 1}.${this.number} after ${this.failures} failures, ` +
        `${this.lastCause ?? "nothing"}, ${this.previousAddress ?? "nowhere"}`
    )
    const open = () => {
      if (opens !== undefined) step.connection = this.open(opens.script, opens.number)
    }
    if (opens?.script.opensFirst === true) open()
    this.walk(script, what.split(" to ")[0]!, step, (died) => {
      step.hasEnded = true
      const result = died ?? results[script.ends](script.text)
      if (result === words.done && opens?.script.opensFirst === false) open()
      step.onEnd(result)
    }, script.ends === "never")
  }

  private open(script: Connect, number: number): Connection {
    const connection: Connection = { number, script, lost: undefined, isGone: false, onLoss: nothing }
    if (this.newest === undefined || this.newest.number < number) this.newest = connection
    if (script.life !== undefined) {
      this.after(toMillis(script.life), () => this.lose(connection, losses[script.loss]))
    }
    return connection
  }

  private lose(connection: Connection, cause: string): void {
    if (connection.lost !== undefined) return
    connection.lost = cause
    connection.onLoss()
  }

  private established(connection: Connection): void {
    this.step = undefined
    this.session = connection
    connection.isGone = connection.lost !== undefined
    this.failures = 0
    this.generation++
    this.enter("Connected")
    this.notify("results", words.connection(connection.number))
    this.notify("changed")
    const { leg } = this
    this.emit(words.connected(this.generation, connection.number))
    const gone = () => {
      if (leg !== this.leg) return
      connection.isGone = true
      const uptime = this.now - this.since
      this.whenHandled(() => this.disconnected(connection, connection.lost!, uptime))
    }
    if (connection.lost === undefined) connection.onLoss = gone
    else gone()
  }

  private disconnected(connection: Connection, cause: string, uptime: number): void {
    const isSuccess = uptime >= this.scenario.minUptime * tick
    if (isSuccess) this.turn = 0
    const then = (nextAttemptAt: number | undefined) => {
      this.nextAttemptAt = this.ending === undefined ? nextAttemptAt : undefined
      this.session = undefined
      this.release(connection)
      this.lastCause = cause
      this.enter("Waiting")
      this.report(words.disconnected(this.generation, cause), () => this.pause(() => this.beginCycle()))
    }
    if (this.ending !== undefined) return then(undefined)
    this.decide(cause, (nextAttemptAt) => {
      // D11: the loss of a long-lived connection whose delay has passed consumes no delay.
      if (isSuccess && nextAttemptAt !== undefined && nextAttemptAt <= this.now) this.turn = 0
      then(nextAttemptAt)
    })
  }

  private failed(cause: string): void {
    const isKnown = this.cycle.cause === cause
    this.cycle.cause = cause
    this.letGoOfStep(nothing)
    this.failures++
    // A deadline that has passed stays visible until the policy has decided.
    if (cause !== words.timeout) this.deadlineAt = undefined
    this.decide(cause, (nextAttemptAt) => {
      this.nextAttemptAt = nextAttemptAt
      this.lastCause = cause
      this.enter("Waiting")
      this.notify("results", cause)
      const then = () => this.pause(() => this.attempt())
      if (isKnown) then()
      else this.report(words.failed(this.number, cause), then)
    })
  }

  /** Determines the time of the next attempt, from the beginning of the last one (T1, T2). */
  private decide(cause: string, then: (nextAttemptAt: number | undefined) => void): void {
    const { policyTakes, retry } = this.scenario
    const { leg } = this
    this.sleep(policyTakes, user, () => {
      if (leg !== this.leg) return
      const next = retry[Math.min(this.turn, retry.length - 1)]!
      if (next === "die" && this.reports.retry < mostDeaths) {
        this.reports.retry++
        return then(this.begunAt + 10_000)
      }
      this.turn++
      if (next !== "end") return then(this.begunAt + (next === "die" ? 1 : next) * tick)
      this.ending ??= words.gaveUp(cause)
      then(undefined)
    })
  }

  private pause(then: () => void): void {
    if (this.ending !== undefined) return this.beginClosing()
    const { leg } = this
    const go = () => leg === this.leg && then()
    const delay = this.nextAttemptAt! - this.now
    if (delay > 0) this.after(delay, go)
    else go()
  }

  // Ending ---------------------------------------------------------------------------------------------------------

  private get isClosing(): boolean {
    return this.tag === "Closing" || this.tag === "Closed"
  }

  private get reason(): string {
    return this.ending ?? words.byOwner
  }

  private get isAborted(): boolean {
    return this.ending?.startsWith("aborted") === true
  }

  private get refusal(): string {
    return this.isAborted ? words.fail("aborted") : this.reason
  }

  private beginClosing(): void {
    if (this.isClosing) return
    this.enter("Closing")
    this.leg++
    this.notify("results", this.refusal)
    this.notify("changed")
    this.letGoOfStep(() => this.letGoOfSession())
  }

  private letGoOfSession(): void {
    const { session } = this
    if (session === undefined) return this.finish()
    this.release(session, () => {
      const end = () => {
        this.session = undefined
        // A loss that was not reported yet is still reported as a loss.
        this.finish(words.disconnected(this.generation, session.isGone ? session.lost! : words.clean))
      }
      this.notifyFinished()
      this.whenHandled(end)
    })
  }

  private finish(event?: EventWords): void {
    this.enter("Closed")
    this.notifyFinished()
    if (event !== undefined) this.emit(event)
    this.onFreed()
  }

  private notifyFinished(): void {
    this.hasFinished = true
    this.notify("finished")
  }

  /** No further connection will follow (X4, X5). Only the first call counts. */
  private end(reason: string): void {
    if (this.isDecided) return
    this.isDecided = true
    if (this.ending === undefined || reason !== words.byOwner) this.ending = reason
    if (this.tag === "Connecting" || this.tag === "Waiting") this.beginClosing()
    else if (this.tag === "Connected" && this.isAborted) this.notify("results", this.refusal)
  }

  private letGoOfStep(then: () => void): void {
    const { step } = this
    this.step = undefined
    if (step === undefined) return then()
    const release = () => step.connection === undefined ? then() : this.release(step.connection, then)
    if (step.hasEnded) return release()
    if (!step.script.isUninterruptible) {
      this.dismiss(step)
      return release()
    }
    this.busy++
    step.onEnd = () => {
      this.busy--
      release()
      this.onFreed()
    }
  }

  private release(connection: Connection, then = nothing): void {
    const { number, script } = connection
    this.busy++
    this.handle(script.release, `finalizer ${number}`, { kind: "finalizer", isGone: false }, () => {
      this.busy--
      then()
      this.onFreed()
    })
  }

  // Handlers -------------------------------------------------------------------------------------------------------

  /** Emits an event, and continues after its handler (E1). */
  private report(event: EventWords, then: () => void): void {
    const { leg } = this
    this.emit(event)
    if (leg === this.leg) this.whenHandled(then)
  }

  private whenHandled(then: () => void): void {
    const { leg } = this
    if (this.handler === undefined) return then()
    this.handler.onSettled = () => leg === this.leg && then()
  }

  private emit(event: EventWords): void {
    const number = this.counts.handlings++
    const handler: HandlerCall = { kind: "handler", isGone: false, onSettled: nothing }
    this.handler = handler
    this.handlers.add(handler)
    this.events.push({ at: this.now, ...event })
    if (this.leaving !== undefined) return this.stopHandler(handler)
    this.handle(entry(this.scenario.handlers, number), `handler ${number}`, handler, () => this.stopHandler(handler))
  }

  private stopHandler(handler: HandlerCall): void {
    this.handlers.delete(handler)
    this.dismiss(handler)
    this.letGoOfHandler(handler)
  }

  private letGoOfHandler(handler: Caller): void {
    const { handler: last } = this
    if (last === undefined || last !== handler) return
    this.handler = undefined
    last.onSettled()
  }

  private handle(script: Handling, id: string, caller: Caller, then: () => void): void {
    this.walk(script, id, caller, (died) => {
      if (died !== undefined || script.dies) this.reports[caller.kind === "handler" ? "handler" : "finalizer"]++
      then()
    })
  }

  private walk(
    { does, forks, pauses, takes }: Call,
    id: string,
    caller: Caller,
    then: (died?: string) => void,
    isEndless = false
  ): void {
    const rest: Done = (answer) => {
      if (caller.isGone) return
      if (answer.startsWith(words.die(""))) return then(answer)
      if (!isEndless) this.sleep(takes, caller, () => then())
    }
    this.sleep(pauses, caller, () => does === undefined ? rest("") : this.perform(does, id, caller, rest, forks))
  }

  private sleep(ticks: number, sleeper: Caller, then: () => void): void {
    if (ticks === 0) then()
    else this.after(toMillis(ticks), () => sleeper.isGone || then())
  }

  // Ops ------------------------------------------------------------------------------------------------------------

  /**
   * D7c: an attempt that waits for its own connection in its own fiber dies. In a child fiber it runs into its
   * deadline.
   */
  private perform(op: Op, id: string, caller: Caller, then: Done, isInChild = false): void {
    const done: Done = (answer) => {
      if (caller.isGone) return
      this.answer(id, answer)
      then(answer)
    }
    const wait = (signal: Signal, proceed: (value: string) => void) => {
      this.waiters = [...this.waiters, { id, signal, caller, proceed }]
      this.letGoOfHandler(caller)
    }
    const waitsForItself = caller === this.step && !isInChild
    const isPart = caller.kind === "step" || caller.kind === "finalizer"
    switch (op) {
      case "connected": {
        const evaluate = () => {
          if (this.isOpen) return done(words.connection(this.session!.number))
          if (this.isClosing && isPart) return done(words.die(this.reason))
          if (waitsForItself) return done(words.itself)
          wait("changed", evaluate)
        }
        return evaluate()
      }
      case "connectedOrClosed": {
        const evaluate = () => {
          if (this.isOpen) return done(words.connection(this.session!.number))
          if (this.hasFinished || (this.isClosing && isPart)) return done(this.reason)
          if (waitsForItself) return done(words.itself)
          wait(this.isClosing ? "finished" : "changed", evaluate)
        }
        return evaluate()
      }
      case "connectedOrFailedToConnect":
        if (this.isOpen) return done(words.connection(this.session!.number))
        if (this.isClosing || this.ending !== undefined) return done(this.refusal)
        if (waitsForItself) return done(words.itself)
        return wait("results", done)
      case "close":
      case "closeFinished": {
        const hadFinished = this.hasFinished
        if (op === "close") this.beginClosing()
        if (!hadFinished) this.letGoOfHandler(caller)
        const evaluate = () => {
          if (this.hasFinished || (this.isClosing && isPart)) return done(words.done)
          if (!this.isClosing && waitsForItself) return done(words.itself)
          wait(isPart ? "changed" : "finished", evaluate)
        }
        return evaluate()
      }
      case "closeWhen":
        this.end(words.byOwner)
        return done(words.done)
      case "abort":
        if (!this.canAbort) return done("no attempt")
        this.end(words.aborted(words.fail("aborted")))
        return done(words.done)
      case "lose":
        if (this.newest === undefined) return done("no connection")
        this.lose(this.newest, words.clean)
        return done(words.done)
    }
  }

  private get isOpen(): boolean {
    return this.tag === "Connected" && !this.session!.isGone &&
      !(this.session!.lost !== undefined && this.scenario.knowsDeath)
  }

  private notify(signal: Signal, value = ""): void {
    for (const waiter of this.dequeue((waiter) => waiter.signal === signal)) waiter.proceed(value)
  }

  /** Records a result. Only the first one counts, because an interrupted caller gets no other. */
  private answer(id: string, answer: string): void {
    if (!this.answers.has(id)) this.answers.set(id, `${this.now} ${answer}`)
  }

  /** Interrupts a caller: it takes no further steps. */
  private dismiss(caller: Caller): void {
    caller.isGone = true
    for (const { id } of this.dequeue((waiter) => waiter.caller === caller)) this.answer(id, words.interrupted)
  }

  private dequeue(which: (waiter: Waiter) => boolean): ReadonlyArray<Waiter> {
    const taken = this.waiters.filter(which)
    this.waiters = this.waiters.filter((waiter) => !which(waiter))
    return taken
  }

  // Time -----------------------------------------------------------------------------------------------------------

  private after(millis: number, task: () => void): void {
    this.clock.after(millis, task)
  }

  private enter(tag: StateWords["tag"]): void {
    if (this.tag !== tag) this.since = this.now
    this.tag = tag
    this.deadlineAt = undefined
  }
}

const entry = <A>(script: ReadonlyArray<A>, call: number): A => script[call % script.length]!

const results: Readonly<Record<Step["ends"], (text: string) => string>> = {
  succeed: () => words.done,
  fail: words.fail,
  die: words.die,
  interrupt: () => words.fromWithin,
  never: () => words.done
}

const losses: Readonly<Record<Connect["loss"], string>> = {
  clean: words.clean,
  fail: words.fail("lost"),
  die: words.die("lost"),
  interrupt: words.fromWithin
}
