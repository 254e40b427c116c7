import * as Predicate from "effect/Predicate"

type Listener = (...args: ReadonlyArray<unknown>) => void

/**
 * The used part of Node's event emitters.
 *
 * @internal
 */
export interface Emitter {
  readonly on: (event: string, listener: Listener) => unknown
  readonly off: (event: string, listener: Listener) => unknown
}

/** @internal */
export const isEmitter = (value: unknown): value is Emitter => hasMethod(value, "on") && hasMethod(value, "off")

/** @internal */
export const hasMethod = <Name extends string>(
  value: unknown,
  name: Name
): value is Record<Name, (...args: ReadonlyArray<unknown>) => unknown> =>
  Predicate.hasProperty(value, name) && typeof value[name] === "function"
