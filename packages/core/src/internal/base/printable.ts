import * as Data from "effect/Data"
import * as Inspectable from "effect/Inspectable"

/**
 * The constructors of `Data.taggedEnum`, with a different printed form in `console.log`, JSON, `String` and Effect's
 * loggers.
 *
 * @internal
 */
export const printable = <Constructors extends object, A>(
  constructors: Constructors,
  print: (value: A) => unknown
): Constructors => {
  const prototype = Object.assign(Object.create(Object.getPrototypeOf(Data.struct({}))), Inspectable.BaseProto, {
    toJSON(this: A) {
      return print(this)
    }
  })
  return new Proxy(constructors, {
    get: (constructors, tag) =>
      tag === "$is" || tag === "$match"
        ? Reflect.get(constructors, tag)
        : (fields: object) => Object.assign(Object.create(prototype), fields, { _tag: tag })
  })
}
