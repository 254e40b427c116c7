import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Logger from "effect/Logger"

interface Line {
  readonly level: string
  readonly message: string
  readonly annotations: Record<string, unknown>
  readonly cause: Cause.Cause<unknown>
}

/** A logger that records its lines. `captured` applies it to an effect, and `messages` returns the recorded lines. */
export const captureLog = () => {
  const lines: Array<Line> = []
  const logger = Logger.make<unknown, void>(({ annotations, cause, logLevel, message }) => {
    lines.push({
      level: logLevel.label,
      message: String(message),
      annotations: Object.fromEntries(HashMap.toEntries(annotations)),
      cause
    })
  })
  return {
    lines,
    messages: () => lines.map(({ level, message }) => `${level} ${message}`),
    captured: Effect.provide(Logger.replace(Logger.defaultLogger, logger))
  }
}
