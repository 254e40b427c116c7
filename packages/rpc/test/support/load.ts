/** Callers and streams that check what they get, while servers come and go. */
import type * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import { assert } from "@effect/vitest"
import { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Counting, Tally } from "./counting.js"
import type { Wire } from "./realServer.js"

type Client = RpcClient.FromGroup<typeof Counting, unknown>

/** What callers and streams have got. */
export class Results {
  answers = 0
  elements = 0
  gaps = 0
  /** The ids of `Slow` calls that succeeded. */
  readonly succeeded: Array<number> = []
  readonly failures: Array<unknown> = []
  /** The longest call that was not interrupted, in ms. */
  longest = 0
  isOver = false

  fail(error: unknown): Effect.Effect<void> {
    return Effect.sync(() => void this.failures.push(error))
  }
}

/**
 * Calls one after the other, until the results are over: `Slow`, which must not run twice and may fail, and
 * `SlowAgain`, which may fail only if `mayFail` is true.
 */
export const caller = (client: Client, results: Results, number: number, mayFail: boolean) => {
  const timed = <A, E>(call: Effect.Effect<A, E>) =>
    Effect.suspend(() => {
      const began = performance.now()
      return Effect.ensuring(
        call,
        Effect.sync(() => {
          results.longest = Math.max(results.longest, performance.now() - began)
        })
      )
    })
  const step = (round: number): Effect.Effect<void, unknown> => {
    if (results.isOver) return Effect.void
    const id = number * 1_000_000 + round
    const slow = timed(client.Slow({ id })).pipe(
      Effect.map((answer) => {
        assert.strictEqual(answer, id)
        results.succeeded.push(id)
      }),
      Effect.catchAll((error) => results.fail(error))
    )
    const again = Effect.map(timed(client.SlowAgain({ id })), (answer) => assert.strictEqual(answer, id))
    return slow.pipe(
      Effect.zipRight(mayFail ? Effect.catchAll(again, (error) => results.fail(error)) : again),
      Effect.zipRight(Effect.sync(() => results.answers++)),
      Effect.zipRight(Effect.suspend(() => step(round + 1)))
    )
  }
  return step(0)
}

/** Checks that the elements of a sequence come in order, none twice and none missing. */
class Sequence {
  last = 0

  constructor(readonly results: Results) {}

  take(element: number): Effect.Effect<void> {
    assert.strictEqual(element, ++this.last)
    this.results.elements++
    // The callers need time too.
    return this.last % 10 === 0 ? Effect.sleep(5) : Effect.void
  }
}

/** Follows a sequence with `resumableStream`, until the results are over. */
export const follow = <E>(
  connection: PersistentConnection.PersistentConnection<Pick<Client, "Sequence">, E>,
  results: Results
) =>
  Effect.suspend(() => {
    const sequence = new Sequence(results)
    return PersistentConnection.resumableStream(connection, {
      subscribe: (client, cursor: Option.Option<number>) =>
        Effect.succeed(client.Sequence({ from: Option.getOrElse(cursor, () => 0) + 1 })),
      cursor: (number) => number
    }).pipe(
      Stream.rechunk(1),
      Stream.tap((resumed) =>
        resumed._tag === "Gap" ? Effect.sync(() => results.gaps++) : sequence.take(resumed.value)
      ),
      Stream.takeWhile(() => !results.isOver),
      Stream.runDrain
    )
  })

/** Follows a sequence with one stream after the other: each fails with the loss, after the elements that had arrived. */
export const followByHand = (client: Pick<Client, "Sequence">, results: Results) =>
  Effect.suspend(() => {
    const sequence = new Sequence(results)
    const next: Effect.Effect<void> = Effect.suspend(() =>
      client.Sequence({ from: sequence.last + 1 }).pipe(
        Stream.rechunk(1),
        Stream.tap((element) => sequence.take(element)),
        Stream.takeWhile(() => !results.isOver),
        Stream.runDrain,
        Effect.catchAll((error) => Effect.zipRight(results.fail(error), next))
      )
    )
    return next
  })

/**
 * Checks that nothing ran twice, and that each failure is the loss of a connection, with its cause. Over TCP there may be
 * no cause: Node reports a reset as a regular end if data has arrived with it.
 */
export const check = (tally: Tally, { failures, longest, succeeded }: Results, { transport }: Wire) => {
  for (const [call, runs] of tally.runs) assert.strictEqual(runs, 1, call)
  for (const id of succeeded) assert.strictEqual(tally.runs.get(`Slow ${id}`), 1)
  for (const error of failures) {
    const lost = error instanceof RpcClientError ? error.cause : error
    assert.instanceOf(lost, ConnectionLost)
    const isRegular = transport !== "WebSocket" && Cause.isEmpty(lost.lossCause)
    assert.isTrue(isRegular || Option.isSome(Cause.failureOption(lost.lossCause)), "the failure has no cause")
  }
  // Far more than any call needs, also on a busy machine.
  assert.isBelow(longest, 60_000)
}
