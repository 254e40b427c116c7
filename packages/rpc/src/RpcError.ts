/**
 * The errors of RPC connections, besides those of the transport and of `ConnectionError`.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

/**
 * A violation of the protocol by the server. Each one is the cause of the loss of its connection:
 *
 * - `DecodeFailed`: the serialization could not decode what the server sent.
 * - `MessageTooLong`: a message was longer than `limit`.
 * - `TornMessage`: the connection ended in the regular way, but in the middle of a message.
 * - `UnknownMessage`: a message was decoded, but it is not a message of an RPC server.
 * - `UnknownProcedure`: the server does not have the procedure of an open request.
 * - `UnknownRequest`: the server answered a request that was not sent on this connection, or answered one twice. Such
 *   an answer is dropped if it may be the late one of a call that has ended.
 *
 * No reason contains a part of a message, which may be secret.
 *
 * @since 0.1.0
 * @category models
 */
export type RpcProtocolErrorReason =
  | { readonly _tag: "DecodeFailed" }
  | { readonly _tag: "MessageTooLong"; readonly limit: number }
  | { readonly _tag: "TornMessage" }
  | { readonly _tag: "UnknownMessage" }
  | { readonly _tag: "UnknownProcedure"; readonly procedure: string }
  | { readonly _tag: "UnknownRequest" }

/**
 * The server violated the protocol, so the connection is lost: the name of the server, and the reason.
 *
 * @since 0.1.0
 * @category errors
 */
export class RpcProtocolError extends /* @__PURE__ */ Data.TaggedError("RpcProtocolError")<{
  readonly serverName: string
  readonly reason: RpcProtocolErrorReason
}> {
  /**
   * One line of text: the name of the server, and the reason.
   *
   * @since 0.1.0
   */
  override get message(): string {
    return `RPC server "${this.serverName}": ${explain(this.reason)}`
  }
}

const explain = (reason: RpcProtocolErrorReason): string => {
  switch (reason._tag) {
    case "DecodeFailed":
      return "a message does not decode"
    case "MessageTooLong":
      return `a message is longer than ${reason.limit} bytes`
    case "TornMessage":
      return "the connection ended in the middle of a message"
    case "UnknownMessage":
      return "a message is not one of the RPC protocol"
    case "UnknownProcedure":
      return `it does not have "${reason.procedure}"`
    case "UnknownRequest":
      return "an answer belongs to no request"
  }
}

/**
 * Why a call failed on a connection that works:
 *
 * - `EncodeFailed`: the payload could not be encoded. Nothing was sent.
 * - `SendFailed`: the transport did not send the request. With the transports of this library, nothing was sent.
 * - `DecodeFailed`: the answer does not match the schemas of the procedure, or is nested too deeply for the stack. The
 *   server has run the call.
 * - `Interrupted`: the server interrupted the call, and did not end the connection within 3 s. It may have run a part
 *   of it.
 *
 * @since 0.1.0
 * @category models
 */
export type RpcCallErrorReason = "EncodeFailed" | "SendFailed" | "DecodeFailed" | "Interrupted"

/**
 * A call failed, and the connection stays: the name of the server, the tag of the procedure, and the reason.
 *
 * @since 0.1.0
 * @category errors
 */
export class RpcCallError extends /* @__PURE__ */ Data.TaggedError("RpcCallError")<{
  readonly serverName: string
  readonly procedure: string
  readonly reason: RpcCallErrorReason
}> {
  readonly #underlying: unknown

  /**
   * @since 0.1.0
   */
  constructor({ procedure, reason, serverName, underlying }: {
    readonly serverName: string
    readonly procedure: string
    readonly reason: RpcCallErrorReason
    readonly underlying?: unknown
  }) {
    super({ serverName, procedure, reason })
    this.#underlying = underlying
  }

  /**
   * One line of text: the name of the server, the procedure, and the reason.
   *
   * @since 0.1.0
   */
  override get message(): string {
    return `Call of "${this.procedure}" on "${this.serverName}": ${explanations[this.reason]}`
  }

  /**
   * The underlying error: of the transport, a `ParseError` of Effect's `Schema`, or a stack overflow; undefined for
   * `Interrupted`. It is not printed, because it may contain a part of a message, which may be secret.
   *
   * @since 0.1.0
   */
  get underlying(): unknown {
    return this.#underlying
  }
}

const explanations: Record<RpcCallErrorReason, string> = {
  EncodeFailed: "not sent, because the payload does not encode",
  SendFailed: "not sent, because the transport refused it",
  DecodeFailed: "the answer does not match the schemas of the procedure",
  Interrupted: "the server interrupted it"
}

/**
 * Why the client does not use a server:
 *
 * - `NoMenu`: the server has no menu.
 * - `InvalidMenu`: the answer of the server is not a menu.
 * - `Incompatible`: the server lacks the procedures in `missing`, and has other schemas for those in `incompatible`.
 *
 * @since 0.1.0
 * @category models
 */
export type RpcMenuErrorReason =
  | { readonly _tag: "NoMenu" }
  | { readonly _tag: "InvalidMenu" }
  | {
    readonly _tag: "Incompatible"
    readonly missing: ReadonlyArray<string>
    readonly incompatible: ReadonlyArray<string>
  }

/**
 * The attempt failed because the server does not fit the procedures of the client; see `RpcMenu.check`.
 *
 * @since 0.1.0
 * @category errors
 */
export class RpcMenuError extends /* @__PURE__ */ Data.TaggedError("RpcMenuError")<{
  readonly serverName: string
  readonly reason: RpcMenuErrorReason
}> {
  /**
   * One line of text: the name of the server, and the reason with the tags of the procedures.
   *
   * @since 0.1.0
   */
  override get message(): string {
    return `RPC server "${this.serverName}": ${explainMenu(this.reason)}`
  }
}

const explainMenu = (reason: RpcMenuErrorReason): string => {
  switch (reason._tag) {
    case "NoMenu":
      return "it has no menu"
    case "InvalidMenu":
      return "its menu is not valid"
    case "Incompatible":
      return [...list("it does not have", reason.missing), ...list("it has other schemas for", reason.incompatible)]
        .join("; ")
  }
}

const list = (what: string, tags: ReadonlyArray<string>): ReadonlyArray<string> =>
  tags.length === 0 ? [] : [`${what} ${tags.map((tag) => `"${tag}"`).join(", ")}`]
