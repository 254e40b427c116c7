import type { Resumed } from "@persistent-connection/core/PersistentConnection"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { readFileSync } from "node:fs"
import { afterAll, beforeAll, beforeEach, expect } from "vitest"
import { find, type NotInstalled, type PrivateServer, type ServerFailed } from "../../src/recipes/privateServer.js"

/** Reconnects fast, so that the tests are short. */
export const soon = Schedule.spaced("50 millis").pipe(Schedule.as(Duration.millis(50)))

/** Runs a test. A test that hangs fails, and still closes what it has opened. */
export const run = <A, E>(test: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
  test.pipe(Effect.scoped, Effect.timeout("20 seconds"), Logger.withMinimumLogLevel(LogLevel.None), Effect.runPromise)

/** One server for all tests of a file, which are skipped if its program is not installed. */
export const withServer = (
  program: "postgres" | "redis-server",
  make: Effect.Effect<PrivateServer, NotInstalled | ServerFailed, Scope.Scope>
) => {
  const scope = Effect.runSync(Scope.make())
  let server: PrivateServer | undefined
  beforeAll(async () => {
    if (find(program) !== undefined) server = await Effect.runPromise(Scope.extend(make, scope))
  })
  beforeEach((context) => {
    if (server === undefined) context.skip(`${program} is not installed`)
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return () => server!
}

/** Waits until the effect gives the expected value. */
export const eventually = <E>(effect: Effect.Effect<number, E>, expected: number) =>
  effect.pipe(
    Effect.repeat({ until: (value) => value === expected, schedule: Schedule.spaced("20 millis") }),
    Effect.timeoutFail({
      duration: "5 seconds",
      onTimeout: () => new Error(`The number ${expected} did not come`)
    })
  )

/** Follows a stream in the background. The effect takes this many of its values; a gap is the text `gap`. */
export const follow = <A, E>(stream: Stream.Stream<Resumed<A>, E>, text: (value: A) => string) =>
  Effect.gen(function*() {
    const queue = yield* Queue.unbounded<string>()
    yield* Effect.forkScoped(
      Stream.runForEach(stream, (each) => Queue.offer(queue, each._tag === "Gap" ? "gap" : text(each.value)))
    )
    return {
      take: (count: number) => Effect.map(Queue.takeN(queue, count), (values) => [...values]),
      rest: Effect.map(Queue.takeAll(queue), (values) => [...values])
    }
  })

/** The code of a recipe as its page shows it: without the imports, and without the policy. */
const body = (file: string) => {
  const text = readFileSync(new URL(`../../src/recipes/${file}`, import.meta.url), "utf8")
  return text.slice(text.indexOf("\n\n", text.lastIndexOf("\nimport ")) + 2).split("\nexport const retry")[0]
}

export const expectOnPage = (name: string, ...files: ReadonlyArray<string>) => {
  const page = readFileSync(new URL(`../../../../docs/${name}.md`, import.meta.url), "utf8")
  for (const file of files) expect(page).toContain(body(file))
}
