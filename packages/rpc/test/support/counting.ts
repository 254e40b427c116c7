/** The procedures of the test servers, and their handlers. */
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcAnnotation from "@persistent-connection/rpc/RpcAnnotation"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { key: Schema.String }) {}

export class Counting extends RpcGroup.make(
  Rpc.make("Get", { payload: { key: Schema.String }, success: Schema.String, error: NotFound })
    .annotate(RpcAnnotation.Idempotent, true),
  Rpc.make("Add", { payload: { id: Schema.Number }, success: Schema.Number }),
  Rpc.make("Hang", { payload: { id: Schema.Number } }),
  Rpc.make("HangOnce", { payload: { id: Schema.Number }, success: Schema.Number })
    .annotate(RpcAnnotation.Idempotent, true),
  Rpc.make("Die", { payload: { id: Schema.Number } }),
  Rpc.make("When", { payload: { date: Schema.Date }, success: Schema.Date }),
  Rpc.make("Numbers", { payload: { from: Schema.Number, to: Schema.Number }, success: Schema.Number, stream: true }),
  Rpc.make("Endless", { payload: { from: Schema.Number }, success: Schema.Number, error: NotFound, stream: true }),
  Rpc.make("Slow", { payload: { id: Schema.Number }, success: Schema.Number }),
  Rpc.make("SlowAgain", { payload: { id: Schema.Number }, success: Schema.Number })
    .annotate(RpcAnnotation.Idempotent, true),
  Rpc.make("Sequence", { payload: { from: Schema.Number }, success: Schema.Number, stream: true }),
  Rpc.make("nested.Get", { payload: { key: Schema.String }, success: Schema.String }),
  Rpc.make("nested.deeper.Get", { payload: { key: Schema.String }, success: Schema.String })
) {}

/** What the handlers have done, over all servers that share it. */
export class Tally {
  /** How many `Slow` calls run now. */
  slow = 0
  /** How often each call was run, by the name of the procedure and the id of the call. */
  readonly runs = new Map<string, number>()
  /** The calls whose handlers were interrupted. */
  readonly interrupted: Array<string> = []
  total = 0

  run(procedure: string, id: number): number {
    const key = `${procedure} ${id}`
    const runs = (this.runs.get(key) ?? 0) + 1
    this.runs.set(key, runs)
    return runs
  }

  hang(procedure: string, id: number): Effect.Effect<never> {
    return Effect.onInterrupt(Effect.never, () => Effect.sync(() => this.interrupted.push(`${procedure} ${id}`)))
  }
}

export const handlers = (tally: Tally) =>
  Counting.toLayer({
    Get: ({ key }) => key === "none" ? new NotFound({ key }) : Effect.succeed(`value of ${key}`),
    Add: ({ id }) =>
      Effect.sync(() => {
        tally.run("Add", id)
        return ++tally.total
      }),
    Hang: ({ id }) =>
      Effect.suspend(() => {
        tally.run("Hang", id)
        return tally.hang("Hang", id)
      }),
    // Hangs at its first run only.
    HangOnce: ({ id }) =>
      Effect.suspend(() => {
        const runs = tally.run("HangOnce", id)
        return runs === 1 ? tally.hang("HangOnce", id) : Effect.succeed(runs)
      }),
    Die: ({ id }) => Effect.dieMessage(`died in ${id}`),
    When: ({ date }) => Effect.succeed(date),
    Numbers: ({ from, to }) => Stream.range(from, to).pipe(Stream.rechunk(2)),
    Endless: ({ from }) =>
      from < 0
        ? Stream.fail(new NotFound({ key: String(from) }))
        : Stream.concat(Stream.make(from, from + 1), Stream.never).pipe(
          Stream.ensuring(Effect.sync(() => tally.interrupted.push(`Endless ${from}`)))
        ),
    Slow: ({ id }) =>
      Effect.suspend(() => {
        tally.run("Slow", id)
        tally.slow++
        return Effect.ensuring(Effect.delay(Effect.succeed(id), 3), Effect.sync(() => tally.slow--))
      }),
    SlowAgain: ({ id }) => Effect.delay(Effect.succeed(id), 3),
    Sequence: ({ from }) => Stream.rechunk(Stream.iterate(from, (number) => number + 1), 10),
    "nested.Get": ({ key }) => Effect.succeed(`nested ${key}`),
    "nested.deeper.Get": ({ key }) => Effect.succeed(`deeper ${key}`)
  })
