import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import { isEmitter } from "./emitter.js"

/**
 * The HTTP response of a server that refused the upgrade.
 *
 * @internal
 */
export interface Refusal {
  readonly status: number
  readonly retryAfter?: Duration.Duration
  readonly body?: Redacted.Redacted<string>
}

/** The maximum length of the kept body, in bytes. */
const bodyLimit = 8 * 1024

/**
 * Reads the response of a server that refused the upgrade. `ws` passes it as Node's `IncomingMessage`. Its body may be
 * long or never end.
 *
 * @internal
 */
export class RefusalReader {
  private readonly decoder = new TextDecoder()
  private body = ""
  private read = 0

  constructor(
    private readonly response: object,
    private readonly clock: Clock.Clock,
    /** Called when the body has ended or reached its limit. May be called more than once. */
    done: () => void
  ) {
    if (!isEmitter(response)) return
    response.on("data", (chunk) => {
      if (!(chunk instanceof Uint8Array) || this.read >= bodyLimit) return
      const part = chunk.subarray(0, bodyLimit - this.read)
      this.read += part.length
      this.body += this.decoder.decode(part, { stream: true })
      if (this.read >= bodyLimit) done()
    })
    response.on("end", done)
    response.on("error", done)
    response.on("close", done)
  }

  /** The response as read so far. */
  get refusal(): Refusal {
    const retryAfter = this.retryAfter
    return {
      status: Predicate.hasProperty(this.response, "statusCode") ? Number(this.response.statusCode) : 0,
      ...(retryAfter !== undefined && { retryAfter }),
      ...(this.body !== "" && { body: Redacted.make(this.body) })
    }
  }

  /**
   * The header holds seconds or a date. The time until that date is counted from the server's own `Date` header, if
   * present (T5).
   */
  private get retryAfter(): Duration.Duration | undefined {
    const value = this.header("retry-after")
    if (/^\d+$/.test(value)) return Duration.seconds(Number(value))
    const at = momentOf(value)
    const sent = momentOf(this.header("date"))
    const now = Number.isNaN(sent) ? this.clock.unsafeCurrentTimeMillis() : sent
    return Number.isNaN(at) ? undefined : Duration.millis(Math.max(0, at - now))
  }

  /** Empty if there is no such header. */
  private header(name: string): string {
    const headers = Predicate.hasProperty(this.response, "headers") ? this.response.headers : undefined
    const value = Predicate.hasProperty(headers, name) ? headers[name] : undefined
    return typeof value === "string" ? value.trim() : ""
  }
}

// Parses an HTTP date to ms. It reads no clock. `effect/DateTime` could parse it too, but is 30 times the size of this
// module.
// oxlint-disable-next-line no-restricted-globals
const momentOf = (date: string): number => /^\w+, .* GMT$/.test(date) ? Date.parse(date) : Number.NaN
