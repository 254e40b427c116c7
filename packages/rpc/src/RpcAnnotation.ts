/**
 * How calls behave without a connection and after its loss: annotations of procedures, and services for single calls.
 *
 * @example
 * ```ts
 * import * as Rpc from "@effect/rpc/Rpc"
 * import * as RpcAnnotation from "@persistent-connection/rpc/RpcAnnotation"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * export const status = Rpc.make("Status", { success: Schema.String })
 *   .annotate(RpcAnnotation.Idempotent, true)
 *   .annotate(RpcAnnotation.MaxWait, "30 seconds")
 *
 * declare const orders: { readonly Status: () => Effect.Effect<string> }
 *
 * // This call fails at once if there is no connection.
 * export const now = orders.Status().pipe(Effect.provideService(RpcAnnotation.MaxWait, 0))
 * ```
 *
 * @since 0.1.0
 */
import type * as Rpc from "@effect/rpc/Rpc"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"

/**
 * An annotation of a procedure: its calls may run twice. After every loss, such a call waits for the next connection
 * and is sent again, or fails with the loss after `MaxWait`; `Effect.timeout` limits the whole call. Streams ignore the
 * annotation: see `resumable`. As a service of the context, it applies to single calls, and has priority over the
 * annotation.
 *
 * @since 0.1.0
 * @category annotations
 */
export class Idempotent extends Context.Tag("@persistent-connection/rpc/Idempotent")<Idempotent, boolean>() {}

/**
 * How long a call waits if there is no connection; then it fails with `NotConnected`, or with its last `ConnectionLost`
 * if it has been sent. With 0 it fails at once, and with `Duration.infinity` there is no limit. The wait ends when the
 * request is sent: for a limit of the whole call, use `Effect.timeout`.
 *
 * It is a service of the context, for single calls, and an annotation, for procedures. The service has priority over
 * the annotation, and the annotation over the option `maxWait` of the client. With a negative duration, the call dies
 * with an `IllegalArgumentException`.
 *
 * @since 0.1.0
 * @category annotations
 */
export class MaxWait extends Context.Tag("@persistent-connection/rpc/MaxWait")<MaxWait, Duration.DurationInput>() {}

/**
 * The annotation that `resumable` sets.
 *
 * @since 0.1.0
 * @category annotations
 */
export class Resume extends Context.Tag("@persistent-connection/rpc/Resume")<
  Resume,
  (payload: any, last: any) => unknown
>() {}

/**
 * Makes the streams of a procedure resumable. After a loss, and when a `refresh` replaces the connection, the client
 * calls the procedure again on the next connection. `next` makes the payload of that call from the payload of the
 * first one and the last element; without an element, the first payload is sent again. The server must send the
 * elements that come after the last one: then none is missed, and none comes twice.
 *
 * `MaxWait` limits only the wait for the first connection. Then the stream waits for connections as long as it takes.
 *
 * @example
 * ```ts
 * import * as Rpc from "@effect/rpc/Rpc"
 * import * as RpcAnnotation from "@persistent-connection/rpc/RpcAnnotation"
 * import * as Schema from "effect/Schema"
 *
 * const Trade = Schema.Struct({ number: Schema.Number, price: Schema.Number })
 *
 * export const trades = RpcAnnotation.resumable(
 *   Rpc.make("Trades", { payload: { symbol: Schema.String, after: Schema.Number }, success: Trade, stream: true }),
 *   ({ symbol }, last) => ({ symbol, after: last.number })
 * )
 * ```
 *
 * @since 0.1.0
 * @category annotations
 */
export const resumable = <R extends Rpc.Any>(
  procedure: R,
  next: (payload: Rpc.PayloadConstructor<R>, last: Rpc.SuccessChunk<R>) => Rpc.PayloadConstructor<R>
): R => (procedure as unknown as Rpc.Rpc<string>).annotate(Resume, next) as never
