/**
 * A type parameter in a result, which only the arguments infer. Otherwise a caller that expects `any`, as `Effect.Service`
 * does, would make `any` of a parameter that nothing in the arguments mentions. (`NoInfer` would stay in the result.)
 *
 * @internal
 */
export type Inferred<R> = [R] extends [infer Inferred extends R] ? Inferred : never
