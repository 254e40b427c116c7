/**
 * The errors of framed connections.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import { oneLine } from "./internal/describe.js"

/**
 * The reason of a `FramingError`. The first four end the connection, and are the cause of its loss:
 *
 * - `TornFrame`: the connection ended in the middle of a frame. `received` counts its bytes, which are dropped.
 * - `FrameTooLong`: a frame is longer than `maxFrameSize`. It fails before the whole frame has arrived.
 * - `InvalidText`: a frame of text is not valid UTF-8.
 * - `DecodeFailed`: a frame does not decode; `description` says where, and what was expected, or that the frame is
 *   nested too deeply for the stack.
 * - `EncodeFailed`: the message was not sent, because it cannot be encoded; `description` says why.
 * - `Ended`: there is no further message to `receive`, because the connection has ended in the regular way. Only for
 *   transports without a `receive`.
 *
 * No reason contains a part of a frame, which may be secret.
 *
 * @since 0.1.0
 * @category models
 */
export type FramingErrorReason =
  | { readonly _tag: "TornFrame"; readonly received: number }
  | { readonly _tag: "FrameTooLong"; readonly maxFrameSize: number }
  | { readonly _tag: "InvalidText" }
  | { readonly _tag: "DecodeFailed"; readonly description: string }
  | { readonly _tag: "EncodeFailed"; readonly description: string }
  | { readonly _tag: "Ended" }

/**
 * The error of a framed connection: the name of the server, and the reason.
 *
 * @since 0.1.0
 * @category errors
 */
export class FramingError extends /* @__PURE__ */ Data.TaggedError("FramingError")<{
  readonly serverName: string
  readonly reason: FramingErrorReason
}> {
  /**
   * One line of text: the name of the server, and the reason.
   *
   * @since 0.1.0
   */
  override get message(): string {
    return oneLine(`Frames of "${this.serverName}": ${explain(this.reason)}`)
  }
}

const explain = (reason: FramingErrorReason): string => {
  switch (reason._tag) {
    case "TornFrame":
      return `the connection ended in the middle of a frame, of which ${reason.received} bytes had arrived`
    case "FrameTooLong":
      return `a frame is longer than ${reason.maxFrameSize} bytes`
    case "InvalidText":
      return "a frame is not valid UTF-8"
    case "DecodeFailed":
      return `a frame does not decode: ${reason.description}`
    case "EncodeFailed":
      return `not sent, because it does not encode: ${reason.description}`
    case "Ended":
      return "there is no further frame, because the connection has ended"
  }
}
