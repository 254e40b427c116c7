/**
 * Readers of options: they check what a caller in JavaScript, or a configuration, may have got wrong. This library
 * reads its own options with them. Use them in the functions that make connectors of your own.
 *
 * A reader throws an `IllegalArgumentException` that names the option, says what is expected, and shows what was given,
 * but nothing that may be a secret.
 *
 * @example
 * ```ts
 * import * as Options from "@persistent-connection/core/Options"
 * import type * as Duration from "effect/Duration"
 *
 * const readers = {
 *   path: Options.nonEmpty,
 *   baudRate: Options.optional(Options.oneOf(9_600, 19_200, 115_200)),
 *   openTimeout: Options.withDefault(Options.positive, "5 seconds")
 * }
 *
 * export const open = (options: {
 *   readonly path: string
 *   readonly baudRate?: 9_600 | 19_200 | 115_200 | undefined
 *   readonly openTimeout?: Duration.DurationInput | undefined
 * }) => {
 *   const { baudRate = 115_200, openTimeout, path } = Options.read(options, readers)
 *   return { path, baudRate, openTimeout }
 * }
 * ```
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Predicate from "effect/Predicate"
import * as internal from "./internal/base/options.js"

/**
 * Reads the value of an option, whose name is the first argument.
 *
 * @since 0.1.0
 * @category models
 */
export type Reader<A> = (option: string, input: unknown) => A

/**
 * A reader that returns the value unchanged.
 *
 * @since 0.1.0
 * @category models
 */
export type Guard = <A>(option: string, input: A) => A

/**
 * A reader for each option. The type makes sure that none is forgotten.
 *
 * @since 0.1.0
 * @category models
 */
export type Readers<O> = { readonly [K in keyof O]-?: Reader<unknown> }

/**
 * The options that were read.
 *
 * @since 0.1.0
 * @category models
 */
export type Read<O, R> = {
  readonly [K in keyof O & keyof R]: R[K] extends Guard ? O[K] : R[K] extends Reader<infer A> ? A : never
}

/**
 * Reads an object of options. Other members of the object are ignored. With a `group`, the messages name an option
 * `group.option`.
 *
 * @since 0.1.0
 * @category reading
 */
export const read: <O extends object, R extends Readers<O>>(
  options: O | undefined,
  readers: R,
  group?: string
) => Read<O, R> = internal.read

/**
 * An option that may be left out.
 *
 * @since 0.1.0
 * @category combinators
 */
export const optional: (guard: Guard) => Guard = internal.optional

/**
 * An option that may be left out, with its default, which is read once.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withDefault: <A>(reader: Reader<A>, otherwise: unknown) => Reader<A> = internal.withDefault

/**
 * A value that passes the test, such as a number or a text. The message shows the value if it can hold no secret.
 *
 * @since 0.1.0
 * @category constructors
 */
export const value: (expected: string, test: Predicate.Predicate<unknown>) => Guard = internal.value

/**
 * A function or an object that passes the test. The message shows its type only.
 *
 * @since 0.1.0
 * @category constructors
 */
export const kind: (expected: string, test: Predicate.Predicate<unknown>) => Guard = internal.kind

/**
 * One of some texts or numbers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const oneOf: (...values: ReadonlyArray<unknown>) => Guard = internal.oneOf

/**
 * A function.
 *
 * @since 0.1.0
 * @category readers
 */
export const func: Guard = internal.func

/**
 * True or false.
 *
 * @since 0.1.0
 * @category readers
 */
export const boolean: Guard = internal.boolean

/**
 * A text that is not empty.
 *
 * @since 0.1.0
 * @category readers
 */
export const nonEmpty: Guard = internal.nonEmpty

/**
 * A whole number of 1 or more.
 *
 * @since 0.1.0
 * @category readers
 */
export const count: Guard = internal.count

/**
 * A number of bytes above 0, which may be infinite.
 *
 * @since 0.1.0
 * @category readers
 */
export const bytes: Guard = internal.bytes

/**
 * A duration of 0 or more, which may be infinite.
 *
 * @since 0.1.0
 * @category readers
 */
export const duration: Reader<Duration.Duration> = internal.duration

/**
 * A duration of more than 0, which may be infinite.
 *
 * @since 0.1.0
 * @category readers
 */
export const positive: Reader<Duration.Duration> = internal.positive
