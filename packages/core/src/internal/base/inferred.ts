/**
 * A type parameter in a result that is inferred from the arguments only. Otherwise a parameter that no argument
 * mentions would become `any` where the caller expects `any`, as `Effect.Service` does. (`NoInfer` would stay in the
 * result.)
 *
 * @internal
 */
export type Inferred<R> = [R] extends [infer Inferred extends R] ? Inferred : never
