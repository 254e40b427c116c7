import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

/** The typed error of a server. `refuse` creates a new one each time, so that two errors differ only by content. */
export class Refused extends Data.TaggedError("Refused")<{ readonly text: string }> {
  override get message(): string {
    return this.text
  }
}

/** Fails with a new `Refused`. */
export const refuse = (text: string): Effect.Effect<never, Refused> =>
  Effect.suspend(() => Effect.fail(new Refused({ text })))
