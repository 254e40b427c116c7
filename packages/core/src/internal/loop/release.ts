import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { printableCause } from "../base/render.js"
import { sleep } from "../base/time.js"
import type { Fibers } from "./fibers.js"

/** @internal */
export interface ReleaseSettings {
  readonly serverName: string
  readonly closeTimeout: Duration.Duration
}

/** @internal */
export interface ReleaseContext<R> {
  readonly settings: ReleaseSettings
  readonly clock: Clock.Clock
  readonly fibers: Fibers<R>
}

/**
 * Releases what a connection holds, in a separate fiber (D4). That fiber ends with the release, or after
 * `closeTimeout`. A finalizer that fails is logged.
 *
 * @internal
 */
export const releaseInBackground = <R>(
  { clock, fibers, settings: { closeTimeout, serverName } }: ReleaseContext<R>,
  release: Effect.Effect<void>
): Fiber.RuntimeFiber<void> => {
  const annotated = Effect.annotateLogs("server_name", serverName)
  const released = fibers.fork(
    Effect.catchAllCause(
      release,
      (cause) =>
        annotated(Effect.logError(`A finalizer of a connection to "${serverName}" failed`, printableCause(cause)))
    )
  )
  if (!Duration.isFinite(closeTimeout)) return released
  const tooLong = Effect.zipRight(
    sleep(clock, closeTimeout),
    annotated(Effect.logWarning(
      `Closing a connection to "${serverName}" took longer than ${Duration.format(closeTimeout)}; not waiting for it`
    ))
  )
  return fibers.fork(Effect.raceFirst(Effect.asVoid(Fiber.await(released)), tooLong))
}
