/**
 * The simulated environment of one run: virtual time, a scheduler with control over the next task and over preemptions,
 * and a tracker of the fibers, timers and sleeps of the persistent connection.
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
  /** Picks the next of the ready tasks. Default: the first, like effect's own scheduler. */
  readonly pick?: ((ready: number) => number) | undefined
  /**
   * Called before every op, with its number from 0. Returns true if the fiber must yield here. Default: after effect's
   * 2048 ops.
   */
  readonly preempts?: ((op: number) => boolean) | undefined
  /** Called before every task, with its number from 0. */
  readonly beforeTask?: ((task: number) => void) | undefined
}

/** More ops than this in one flush mean that a fiber never waits. */
const tooManyOps = 1_000_000

/**
 * True if the fiber has created child fibers and not started them yet. If a race of effect 3.22 is preempted and
 * interrupted at this point, it waits forever for the unstarted children.
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

/** The number of ops of a yield itself. A fiber that is also preempted within them might make no progress. */
const opsOfYield = 20

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** Tracks the running fibers, and the causes of failed fibers. */
class FiberTracker extends Supervisor.AbstractSupervisor<void> {
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
  /** The log lines of level WARN or higher. */
  readonly log: Array<LogEntry> = []
  /** The number of tasks and ops so far. */
  tasks = 0
  ops = 0
  /** The number of running timers, including the sleeps of fibers. */
  timers = 0

  private readonly time = new VirtualClock()
  private readonly tracker = new FiberTracker()
  private readonly sleeps = new Set<() => void>()
  private readonly ready: Array<() => void> = []
  private readonly roots = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  private isCollecting = false
  private isUndisturbed = true
  /** The number of ops before a preempted fiber can be preempted again. */
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

  /** True if fibers can be preempted between any two ops. Then even a result and its receipt are not atomic. */
  get isPreemptive(): boolean {
    return this.options.preempts !== undefined
  }

  get now(): number {
    return this.time.now
  }

  /** The running fibers that a `watched` effect has started. */
  get fibers(): ReadonlySet<AnyFiber> {
    return this.tracker.alive
  }

  /** The failures of these fibers. */
  get failures(): FiberTracker["failures"] {
    return this.tracker.failures
  }

  /** The number of sleeping fibers. */
  get sleepers(): number {
    return this.sleeps.size
  }

  /** Tracks all fibers that this effect starts. */
  readonly watched = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.supervised(effect, this.tracker)

  /** Forks an effect, which runs up to its first suspension at once. */
  readonly run = <A, E>(effect: Effect.Effect<A, E>): Fiber.RuntimeFiber<A, E> => {
    const fiber = Runtime.runFork(this.runtime, effect)
    this.roots.add(fiber)
    fiber.addObserver(() => this.roots.delete(fiber))
    return fiber
  }

  /** Interrupts fibers that wait forever, which would retain this object. */
  end(): void {
    for (const fiber of this.roots) fiber.unsafeInterruptAsFork(fiber.id())
    this.flush()
  }

  /** Like `run`, but the fiber is not preempted before its first suspension. */
  runUndisturbed<A, E>(effect: Effect.Effect<A, E>): Fiber.RuntimeFiber<A, E> {
    this.isUndisturbed = true
    const fiber = this.run(effect)
    this.isUndisturbed = false
    return fiber
  }

  /** Calls a function after this many ms. Returns a function that cancels. */
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
      // Collects all tasks of this ms before any of them runs.
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

  /** Calls a function before all ready tasks. */
  next(task: () => void): void {
    this.ready.unshift(task)
  }

  /** Runs all fibers until they wait. */
  flush(): void {
    const { beforeTask, pick } = this.options
    const limit = this.ops + tooManyOps
    while (this.ready.length > 0) {
      if (this.ops > limit) {
        throw new Error(`At ${this.now} ms the program runs in an endless loop`)
      }
      const task = this.tasks++
      beforeTask?.(task)
      const [run] = this.ready.splice(pick === undefined ? 0 : pick(this.ready.length), 1)
      run!()
    }
  }

  /** Advances the time by this many ms, and runs everything due until then. */
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
    // An `Effect.async` that is preempted after its start and then interrupted never runs its finalizer.
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
