/**
 * A world for one run: virtual time, a scheduler that can be told which of the ready tasks comes next and where a fiber
 * is preempted, and a census of what the persistent connection keeps going.
 */
import { VirtualClock } from "#internal/testing/virtualClock.js"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import type * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Scheduler from "effect/Scheduler"
import * as Supervisor from "effect/Supervisor"

export interface Options {
  /** Which of so many ready tasks comes next. Default: the first, as with effect's own scheduler. */
  readonly pick?: ((ready: number) => number) | undefined
  /** Asked before every op, by its number from 0: must the fiber yield here? Default: after effect's 2048 ops. */
  readonly preempts?: ((op: number) => boolean) | undefined
  /** Called before every task, with its number from 0. */
  readonly beforeTask?: ((task: number) => void) | undefined
}

/** So many ops in one flush are a fiber that never waits. */
const tooManyOps = 1_000_000

/**
 * Has the fiber made others that it is about to start? If a race of effect 3.22 is preempted there, and interrupted, it
 * waits for ever for those that have never started.
 */
const isStartingRace = (fiber: AnyFiber): boolean => {
  const { _children } = fiber as unknown as { readonly _children: ReadonlySet<Unstarted> | null }
  return _children !== null &&
    [..._children].some(({ _asyncBlockingOn, _exitValue, _queue, _running, _stack }) =>
      _exitValue === null && !_running && _asyncBlockingOn === null && _queue.length === 0 && _stack.length === 0
    )
}

interface Unstarted {
  readonly _asyncBlockingOn: unknown
  readonly _exitValue: unknown
  readonly _queue: ReadonlyArray<unknown>
  readonly _running: boolean
  readonly _stack: ReadonlyArray<unknown>
}

/** So many ops has a yield itself. A fiber that is preempted in them as well might not get on. */
const opsOfYield = 20

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** Knows the fibers that are alive, and how those that have failed did. */
class Census extends Supervisor.AbstractSupervisor<void> {
  readonly value = Effect.void
  readonly alive = new Set<AnyFiber>()
  readonly failures: Array<{ readonly fiber: AnyFiber; readonly cause: Cause.Cause<unknown> }> = []

  override onStart<A, E, R>(
    _context: Context.Context<R>,
    _effect: Effect.Effect<A, E, R>,
    _parent: Option.Option<AnyFiber>,
    fiber: Fiber.RuntimeFiber<A, E>
  ): void {
    this.alive.add(fiber)
  }

  override onEnd<A, E>(exit: Exit.Exit<A, E>, fiber: Fiber.RuntimeFiber<A, E>): void {
    this.alive.delete(fiber)
    if (Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)) this.failures.push({ fiber, cause: exit.cause })
  }
}

export interface LogEntry {
  readonly message: string
  readonly cause: Cause.Cause<unknown>
}

export class World {
  /** What has been logged as a warning or worse. */
  readonly log: Array<LogEntry> = []
  /** How many tasks and ops there have been. */
  tasks = 0
  ops = 0
  /** How many timers there are, the sleeps of fibers included. */
  timers = 0

  private readonly time = new VirtualClock()
  private readonly census = new Census()
  private readonly sleeps = new Set<() => void>()
  private readonly ready: Array<() => void> = []
  private readonly roots = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  private isCollecting = false
  private isUndisturbed = true
  /** How many ops a fiber that was preempted has before it can be preempted again. */
  private readonly yielding = new WeakMap<AnyFiber, number>()
  private readonly runtime: Runtime.Runtime<never>

  constructor(private readonly options: Options = {}) {
    const { preempts } = options
    const logger = Logger.make<unknown, void>(({ cause, message }) => {
      this.log.push({ message: String(Array.isArray(message) ? message[0] : message), cause })
    })
    this.runtime = Effect.runSync(
      Effect.runtime<never>().pipe(
        Logger.withMinimumLogLevel(LogLevel.Warning),
        Effect.withClock(this.clock),
        Effect.withScheduler(Scheduler.make((task) => this.ready.push(task), (fiber) => {
          const op = this.ops++
          if (preempts !== undefined && this.mayYield(fiber) && preempts(op)) {
            this.yielding.set(fiber, opsOfYield)
            return 0
          }
          return fiber.currentOpCount > fiber.getFiberRef(FiberRef.currentMaxOpsBeforeYield) && 0
        })),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
    )
    this.isUndisturbed = false
  }

  /** Can a fiber be preempted between any two ops, so that not even an answer and its receipt are one? */
  get isPreemptive(): boolean {
    return this.options.preempts !== undefined
  }

  get now(): number {
    return this.time.now
  }

  /** The fibers alive of those that what is `watched` has started. */
  get fibers(): ReadonlySet<AnyFiber> {
    return this.census.alive
  }

  /** How those of them have ended that failed. */
  get failures(): Census["failures"] {
    return this.census.failures
  }

  /** How many fibers are asleep. */
  get sleepers(): number {
    return this.sleeps.size
  }

  /** Everything that this effect starts is counted. */
  readonly watched = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.supervised(effect, this.census)

  /** Forks an effect, which runs up to its first suspension at once. */
  readonly run = <A, E>(effect: Effect.Effect<A, E>): Fiber.RuntimeFiber<A, E> => {
    const fiber = Runtime.runFork(this.runtime, effect)
    this.roots.add(fiber)
    fiber.addObserver(() => this.roots.delete(fiber))
    return fiber
  }

  /** Interrupts those who wait for ever, who would keep this world for ever. */
  end(): void {
    for (const fiber of this.roots) fiber.unsafeInterruptAsFork(fiber.id())
    this.flush()
  }

  /** As `run`, and the fiber is not preempted before it is suspended. */
  runUndisturbed<A, E>(effect: Effect.Effect<A, E>): Fiber.RuntimeFiber<A, E> {
    this.isUndisturbed = true
    const fiber = this.run(effect)
    this.isUndisturbed = false
    return fiber
  }

  /** Calls a function in so many ms. */
  after(millis: number, task: () => void): () => void {
    let isOver = false
    const end = () => {
      if (!isOver) this.timers--
      isOver = true
    }
    this.timers++
    const cancel = this.time.after(millis, () => {
      end()
      if (this.options.pick === undefined) {
        task()
        return this.flush()
      }
      // Everything that is due in this ms is ready before any of it runs.
      this.ready.push(task)
      if (this.isCollecting) return
      this.isCollecting = true
      this.time.after(0, () => {
        this.isCollecting = false
        this.flush()
      })
    })
    return () => {
      end()
      cancel()
    }
  }

  /** Calls a function before anything else that is ready. */
  next(task: () => void): void {
    this.ready.unshift(task)
  }

  /** Runs everything until it waits. */
  flush(): void {
    const { beforeTask, pick } = this.options
    const limit = this.ops + tooManyOps
    while (this.ready.length > 0) {
      if (this.ops > limit) {
        throw new Error(`At ${this.now} ms the program runs in an endless loop: something never waits`)
      }
      const task = this.tasks++
      beforeTask?.(task)
      const [run] = this.ready.splice(pick === undefined ? 0 : pick(this.ready.length), 1)
      run!()
    }
  }

  /** Moves time on by so many ms, and everything that is due until then. */
  advance(millis: number): void {
    this.flush()
    this.time.advanceTo(this.now + millis)
  }

  private mayYield(fiber: AnyFiber): boolean {
    const left = this.yielding.get(fiber) ?? 0
    if (left > 0) this.yielding.set(fiber, left - 1)
    return left === 0 && !this.isUndisturbed && !isStartingRace(fiber)
  }

  private get clock(): Clock.Clock {
    const nanos = () => BigInt(Math.round(this.now * 1_000_000))
    return {
      [Clock.ClockTypeId]: Clock.ClockTypeId,
      unsafeCurrentTimeMillis: () => this.now,
      currentTimeMillis: Effect.sync(() => this.now),
      unsafeCurrentTimeNanos: nanos,
      currentTimeNanos: Effect.sync(nanos),
      sleep: (duration) => this.sleep(Duration.toMillis(duration))
    }
  }

  private sleep(millis: number): Effect.Effect<void> {
    const begin = (wake: () => void) => {
      const cancel = this.after(millis, () => {
        this.sleeps.delete(cancel)
        wake()
      })
      this.sleeps.add(cancel)
      return cancel
    }
    const end = (cancel: () => void) =>
      Effect.sync(() => {
        this.sleeps.delete(cancel)
        cancel()
      })
    if (!this.isPreemptive) return Effect.async<void>((resume) => end(begin(() => resume(Effect.void))))
    // An `Effect.async` that is preempted after its beginning, and interrupted, never hears of it.
    return Effect.suspend(() => {
      const awake = Deferred.unsafeMake<void>(FiberId.none)
      return Effect.acquireUseRelease(
        Effect.sync(() => begin(() => Deferred.unsafeDone(awake, Exit.void))),
        () => Deferred.await(awake),
        end
      )
    })
  }
}
