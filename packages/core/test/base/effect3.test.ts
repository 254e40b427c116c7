import { resumable, resumeNow } from "#internal/base/effect3.js"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Runtime from "effect/Runtime"
import type * as Scheduler from "effect/Scheduler"

type Resume = (effect: Effect.Effect<void>) => void

const nextTurn = () => new Promise((resolve) => setTimeout(resolve))

const schedulerOf = (runtime: Runtime.Runtime<never>) =>
  FiberRefs.getOrDefault(runtime.fiberRefs, FiberRef.currentScheduler)

/** A fiber that waits for a callback as often as `steps` says, and what it has done. */
const begin = (name: string, done: Array<string>, steps = 3) => {
  const waiting: { resume: Resume } = { resume: () => {} }
  const wait = Effect.async<void>((resume) => {
    waiting.resume = resume
  })
  const step = (number: number) => Effect.zipRight(wait, Effect.sync(() => done.push(`${name}${number}`)))
  const all = Effect.forEach(Array.from({ length: steps }, (_, index) => index + 1), step, { discard: true })
  return { waiting, fiber: Runtime.runFork(resumable(Runtime.defaultRuntime), all) }
}

describe("resumeNow", () => {
  it("runs the fiber up to its next suspension before it returns", async () => {
    const done: Array<string> = []
    const { fiber, waiting } = begin("a", done)
    await nextTurn()
    resumeNow(waiting.resume)
    expect(done).toEqual(["a1"])
    resumeNow(waiting.resume)
    expect(done).toEqual(["a1", "a2"])
    resumeNow(waiting.resume)
    expect(done).toEqual(["a1", "a2", "a3"])
    expect(fiber.unsafePoll()).toMatchObject({ _tag: "Success" })
  })

  it("lets a plain resumption run later", async () => {
    const done: Array<string> = []
    const { waiting } = begin("a", done)
    await nextTurn()
    waiting.resume(Effect.void)
    expect(done).toEqual([])
    await nextTurn()
    expect(done).toEqual(["a1"])
  })

  it("runs only that fiber: those that it wakes and forks run later, in order", async () => {
    const done: Array<string> = []
    const first = begin("a", done)
    const second = begin("b", done)
    let resume: Resume = () => {}
    const wakes = Effect.async<void>((callback) => {
      resume = callback
    }).pipe(
      Effect.zipRight(Effect.sync(() => {
        second.waiting.resume(Effect.void)
        first.waiting.resume(Effect.void)
      })),
      Effect.zipRight(Effect.forkDaemon(Effect.sync(() => done.push("forked")))),
      Effect.zipRight(Effect.sync(() => done.push("resumed")))
    )
    Runtime.runFork(resumable(Runtime.defaultRuntime), wakes)
    await nextTurn()
    resumeNow(resume)
    expect(done).toEqual(["resumed"])
    await nextTurn()
    expect(done).toEqual(["resumed", "b1", "a1", "forked"])
  })

  it("can be called by a fiber that it has resumed", async () => {
    const done: Array<string> = []
    const inner = begin("inner", done)
    let resume: Resume = () => {}
    const outer = Effect.async<void>((callback) => {
      resume = callback
    }).pipe(Effect.zipRight(Effect.sync(() => {
      done.push("before")
      resumeNow(inner.waiting.resume)
      done.push("after")
    })))
    Runtime.runFork(resumable(Runtime.defaultRuntime), outer)
    await nextTurn()
    resumeNow(resume)
    expect(done).toEqual(["before", "inner1", "after"])
  })

  it("does nothing for a fiber that was interrupted or has gone on, and what comes after it runs later", async () => {
    const done: Array<string> = []
    const interrupted = begin("a", done)
    const gone = begin("b", done, 1)
    const other = begin("c", done)
    await nextTurn()
    const { resume } = interrupted.waiting
    interrupted.fiber.unsafeInterruptAsFork(interrupted.fiber.id())
    resumeNow(resume)
    resumeNow(gone.waiting.resume)
    resumeNow(gone.waiting.resume)
    other.waiting.resume(Effect.void)
    expect(done).toEqual(["b1"])
    await nextTurn()
    expect(done).toEqual(["b1", "c1"])
    expect(Exit.isInterrupted(interrupted.fiber.unsafePoll()!)).toBe(true)
    resumeNow(resume)
    other.waiting.resume(Effect.void)
    expect(done).toEqual(["b1", "c1"])
  })

  it("resumes a fiber of another runtime later", async () => {
    let resume: Resume = () => {}
    let isDone = false
    Effect.runFork(
      Effect.async<void>((callback) => {
        resume = callback
      }).pipe(Effect.zipRight(Effect.sync(() => isDone = true)))
    )
    await nextTurn()
    const done: Array<string> = []
    const other = begin("a", done)
    await nextTurn()
    resumeNow(resume)
    expect(isDone).toBe(false)
    other.waiting.resume(Effect.void)
    expect(done).toEqual([])
    await nextTurn()
    expect([isDone, done]).toEqual([true, ["a1"]])
  })
})

describe("resumable", () => {
  it("keeps the scheduler of the runtime for everything else", () => {
    const tasks: Array<() => void> = []
    const asked: Array<string> = []
    const own: Scheduler.Scheduler = {
      scheduleTask: (task) => void tasks.push(task),
      shouldYield: () => {
        asked.push("shouldYield")
        return false
      }
    }
    const runtime = Runtime.setFiberRef(Runtime.defaultRuntime, FiberRef.currentScheduler, own)
    let isDone = false
    Runtime.runFork(resumable(runtime), Effect.zipRight(Effect.yieldNow(), Effect.sync(() => isDone = true)))
    expect([isDone, tasks.length]).toEqual([false, 1])
    expect(asked).not.toEqual([])
    for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) task()
    expect(isDone).toBe(true)
  })

  it("replaces a scheduler only once, always with the same one", () => {
    const first = schedulerOf(resumable(Runtime.defaultRuntime))
    expect(first).not.toBe(schedulerOf(Runtime.defaultRuntime))
    expect(schedulerOf(resumable(Runtime.defaultRuntime))).toBe(first)
    expect(schedulerOf(resumable(resumable(Runtime.defaultRuntime)))).toBe(first)
  })
})
