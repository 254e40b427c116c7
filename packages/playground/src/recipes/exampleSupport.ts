/** What the examples of the recipes have in common. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as ConnectionEvent from "@persistent-connection/core/ConnectionEvent"
import type { Resumed } from "@persistent-connection/core/PersistentConnection"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Printer } from "../terminal.js"
import type { NotInstalled } from "./privateServer.js"

/** Runs an example. The exit code is 2 if its server is not installed, and 1 if the example fails or hangs. */
export const runExample = <E>(example: Effect.Effect<void, E | NotInstalled, Scope.Scope>): void =>
  example.pipe(
    Effect.scoped,
    Effect.timeout("30 seconds"),
    Effect.catchIf(
      (error) => error instanceof Error && "_tag" in error && error._tag === "NotInstalled",
      (error) =>
        Effect.zipRight(Console.error((error as NotInstalled).message), Effect.sync(() => process.exitCode = 2))
    ),
    NodeRuntime.runMain
  )

export const printEvent = (print: Printer) => (event: ConnectionEvent.ConnectionEvent<unknown, unknown>) =>
  event._tag === "ObtainedAddress"
    ? Effect.void
    : print(event._tag === "Connected" ? "green" : "magenta", "event", ConnectionEvent.message(event))

/** Prints a stream in the background. The result waits until the stream has given a text. */
export const show = <A, E>(
  print: Printer,
  label: string,
  stream: Stream.Stream<Resumed<A>, E>,
  text: (value: A) => string
) =>
  Effect.gen(function*() {
    const queue = yield* Queue.unbounded<string>()
    yield* Effect.forkScoped(Stream.runForEach(stream, (each) =>
      each._tag === "Gap"
        ? print("yellow", label, `there was no connection for ${each.restoredAt - each.lostAt} ms`)
        : Effect.zipRight(print("blue", label, text(each.value)), Queue.offer(queue, text(each.value)))))
    return (expected: string) => Effect.repeat(Queue.take(queue), { until: (text) => text === expected })
  })

export class LeftOpen extends Data.TaggedError("LeftOpen")<{ readonly message: string }> {}

/** Counts the connections of a connector, in a set-up. */
export class Tally {
  private opened = 0
  private closed = 0

  readonly count = Effect.acquireRelease(
    Effect.sync(() => {
      this.opened++
    }),
    () => Effect.sync(() => this.closed++)
  )

  /** Prints the numbers, and fails if they are wrong. `onServer` is the number of connections that the server has. */
  check(print: Printer, expected: number, onServer: Effect.Effect<number>): Effect.Effect<void, LeftOpen> {
    return onServer.pipe(
      // The server notices a close a moment later.
      Effect.repeat({ until: (open) => open === 0, schedule: Schedule.spaced("20 millis") }),
      Effect.timeoutFail({ duration: "5 seconds", onTimeout: () => new LeftOpen({ message: "A connection is open" }) }),
      Effect.flatMap(() => {
        const message = `${this.opened} connections opened, ${this.closed} closed, 0 open on the server`
        return this.opened === expected && this.closed === expected
          ? print("green", "end", message)
          : Effect.fail(new LeftOpen({ message }))
      })
    )
  }
}
