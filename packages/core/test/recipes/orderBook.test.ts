import { expect, it } from "@effect/vitest"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Recorder from "@persistent-connection/core/testing/Recorder"
import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { type Exchange, type Update, withBook } from "./orderBook.js"

/** An exchange whose updates the test sends, and the books that the application sees. A snapshot takes a second. */
const follow = Effect.gen(function*() {
  let updates = yield* Queue.unbounded<Update>()
  let snapshot = { number: 0, sizes: new Map<number, number>() }
  const server = yield* TestConnector.make<Exchange<Error>, Error>({
    connection: () => ({
      subscribe: Effect.map(Queue.unbounded<Update>(), (queue) => {
        updates = queue
        return Stream.fromQueue(queue)
      }),
      snapshot: Effect.sync(() => snapshot).pipe(Effect.delay("1 second"))
    })
  })
  const exchange = yield* PersistentConnection.make({
    serverName: "exchange",
    address: Effect.succeed("exchange.example.com"),
    connector: withBook(server.connector),
    retry: RetryPolicy.fixed("10 seconds")
  })
  const events = yield* Recorder.events(exchange)
  const seen: Array<Array<[number, number]>> = []
  yield* PersistentConnection.stream(exchange, (book) => book.changes).pipe(
    Stream.runForEach(({ sizes }) => Effect.sync(() => seen.push([...sizes]))),
    Effect.forkScoped
  )
  yield* TestClock.adjust(0)
  return {
    server,
    events,
    seen,
    send: (number: number, price: number, size: number) =>
      Effect.zipRight(Queue.offer(updates, { number, price, size }), TestClock.adjust(0)),
    setSnapshot: (number: number, ...sizes: Array<[number, number]>) => {
      snapshot = { number, sizes: new Map(sizes) }
    }
  }
})

it.scoped("applies the updates that come after the snapshot, also those that arrive before it", () =>
  Effect.gen(function*() {
    const { seen, send, setSnapshot } = yield* follow
    setSnapshot(5, [100, 1])
    yield* send(5, 100, 1)
    yield* send(6, 101, 2)
    yield* TestClock.adjust("1 second")
    yield* send(7, 100, 0)
    yield* TestClock.adjust("1 second")
    expect(seen).toEqual([[[100, 1], [101, 2]], [[101, 2]]])
  }))

it.scoped("begins with a new snapshot after a loss", () =>
  Effect.gen(function*() {
    const { seen, server, setSnapshot } = yield* follow
    yield* TestClock.adjust("1 minute")
    setSnapshot(70, [200, 3])
    yield* server.lose()
    yield* TestClock.adjust("5 seconds")
    expect(seen).toEqual([[], [[200, 3]]])
  }))

it.scoped("loses a connection with a hole in its numbers, and waits as the policy says", () =>
  Effect.gen(function*() {
    const { events, seen, send, server, setSnapshot } = yield* follow
    yield* TestClock.adjust("2 seconds")
    yield* send(1, 100, 1)
    yield* send(3, 102, 1)
    setSnapshot(3, [100, 1], [101, 1], [102, 1])
    yield* TestClock.adjust("1 minute")
    expect(seen).toEqual([[], [[100, 1]], [[100, 1], [101, 1], [102, 1]]])
    expect((yield* server.attempts).map((attempt) => attempt.begunAt)).toEqual([0, 10_000])
    expect(yield* events.render).toContain("Connection 1 was lost: SequenceGap {\"expected\":2,\"received\":3}")
  }))

it("docs/sequences.md shows the current file of the recipe (`vitest -u` updates it)", async () => {
  const page = fileURLToPath(new URL("../../../../docs/sequences.md", import.meta.url))
  const code = readFileSync(fileURLToPath(new URL("orderBook.ts", import.meta.url)), "utf8")
  const text = readFileSync(page, "utf8")
  const upToDate = text.replace(
    /(\[`orderBook.ts`\]\([^)]*\)\n\n```ts\n).*?(```\n)/s,
    (_, head: string, tail: string) => head + code + tail
  )
  expect(upToDate).toContain(code)
  await expect(upToDate).toMatchFileSnapshot(page)
})
