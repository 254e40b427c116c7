import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

/** The typed error of a server. A new one each time, so that only its content can tell it from the last. */
export class Refused extends Data.TaggedError("Refused")<{ readonly text: string }> {
  override get message(): string {
    return this.text
  }
}

/** Fails with one. */
export const refuse = (text: string): Effect.Effect<never, Refused> =>
  Effect.suspend(() => Effect.fail(new Refused({ text })))
