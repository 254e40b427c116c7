import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import { type AnyFiber, interrupt } from "./effect3.js"
import * as option from "./options.js"

/** Calls `resume` once. The result undoes the registration. */
type Register<A, E> = (resume: (exit: Exit.Exit<A, E>) => void) => () => void

const key: unique symbol = Symbol.for("~persistent-connection/callback")

/** @internal */
export interface Callback<A, E> extends Effect.Effect<A, E> {
  readonly [key]: Register<A, E>
}

/**
 * Does the effect only wait for a callback?
 *
 * @internal
 */
export const isCallback = <A, E, R>(effect: Effect.Effect<A, E, R>): effect is Callback<A, E> =>
  Predicate.hasProperty(effect, key)

/** @internal */
export const callback = <A, E>(register: Register<A, E>): Effect.Effect<A, E> => {
  option.func("register", register)
  return Object.assign(Effect.async<A, E>((resume) => Effect.sync(register(resume))), { [key]: register })
}

/**
 * Like `Effect.suspend`, but calls the function now, and returns a callback unchanged.
 *
 * @internal
 */
export const attempted = <A, E, R>(f: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  try {
    return f()
  } catch (defect) {
    return Effect.die(defect)
  }
}

/**
 * Calls the function with the exit of a callback, as soon as there is one. The result stops that.
 *
 * @internal
 */
export const awaitCallback = <A, E>(
  effect: Callback<A, E>,
  onExit: (exit: Exit.Exit<A, E>) => void
): () => void => {
  let cancel: (() => void) | undefined
  try {
    cancel = effect[key](onExit)
  } catch (defect) {
    onExit(Exit.die(defect))
  }
  return () => {
    try {
      cancel?.()
    } catch {
      // Who stops waiting goes on all the same.
    }
  }
}

/**
 * Calls the listener with the exit of an effect, in a later turn. The result cancels the listener. A callback needs no
 * fiber, which takes 2.5 kB, until it resumes.
 *
 * @internal
 */
export const listen = <A, E>(
  effect: Effect.Effect<A, E>,
  fork: (effect: Effect.Effect<Exit.Exit<A, E>>) => AnyFiber,
  listener: (exit: Exit.Exit<A, E>) => void
): () => void => {
  let fiber: AnyFiber | undefined
  let isCancelled = false
  const run = (effect: Effect.Effect<A, E>) => {
    if (fiber !== undefined) return
    fiber = fork(Effect.exit(effect))
    fiber.addObserver((exit) => {
      if (!isCancelled) listener(Exit.flatten(exit as Exit.Exit<Exit.Exit<A, E>>))
    })
  }
  const cancel = isCallback(effect) ? awaitCallback(effect, run) : run(effect)
  return () => {
    isCancelled = true
    if (fiber !== undefined) interrupt(fiber)
    cancel?.()
  }
}
