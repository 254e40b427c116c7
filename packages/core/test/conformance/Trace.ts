/**
 * The traces of the original: the scenarios and their logs. `../fixtures/conformance/README.md` describes the format.
 */
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

const Millis = Schema.NonNegative

const OpName = Schema.Literal(
  "connected",
  "connected_or_failed_to_connect",
  "close",
  "close_when_current_connection_is_closed",
  "is_closed",
  "current_connection",
  "close_finished",
  "subscribe",
  "expert_connection",
  "abort",
  "attempts",
  "peer_close",
  "conn_close",
  "wait_conn_closed"
)

export interface DetailedOp {
  readonly op: typeof OpName.Type
  readonly error?: string | undefined
  readonly then?: ReadonlyArray<Op> | undefined
}

export type Op = typeof OpName.Type | DetailedOp

const Op = Schema.Union(
  OpName,
  Schema.Struct({
    op: OpName,
    error: Schema.optional(Schema.String),
    // oxlint-disable-next-line unicorn/no-thenable -- A field of the format, not a function.
    then: Schema.optional(Schema.Array(Schema.suspend((): Schema.Schema<Op> => Op)))
  })
)

const Ops = Schema.optional(Schema.Array(Op))

const call = {
  after: Schema.optional(Millis),
  raise: Schema.optional(Schema.String),
  never: Schema.optional(Schema.Boolean),
  do: Ops,
  do_end: Ops
}

const HandlerCall = Schema.Struct(call)

const LookUpCall = Schema.Struct({
  ...call,
  ok: Schema.optional(Schema.String),
  error: Schema.optional(Schema.String)
})

const ConnectCall = Schema.Struct({
  ...call,
  error: Schema.optional(Schema.String),
  life: Schema.optional(Millis),
  close_lag: Schema.optional(Millis),
  close_takes: Schema.optional(Millis),
  close_never: Schema.optional(Schema.Boolean),
  close_raise: Schema.optional(Schema.String),
  born_closed: Schema.optional(Schema.Boolean)
})

export type HandlerCall = typeof HandlerCall.Type
export type LookUpCall = typeof LookUpCall.Type
export type ConnectCall = typeof ConnectCall.Type

/** A script: one entry per call; the last one repeats. */
const script = <A, I>(entry: Schema.Schema<A, I>) =>
  Schema.optionalWith(Schema.Array(entry), { default: (): ReadonlyArray<A> => [] })

const Handlers = Schema.Struct({
  attempting: script(HandlerCall),
  obtained_address: script(HandlerCall),
  failed_to_connect: script(HandlerCall),
  connected: script(HandlerCall),
  disconnected: script(HandlerCall)
})

/** The replay must know every field of a scenario, so excess fields are errors. */
const Scenario = Schema.Struct({
  random_state: Schema.Literal("non_random"),
  until: Schema.optionalWith(Millis, { default: () => 10_000 }),
  retry_delay: Schema.Union(Millis, Schema.NonEmptyArray(Millis)),
  get_address: script(LookUpCall),
  connect: script(ConnectCall),
  on_event: Schema.optionalWith(Handlers, { default: () => Schema.decodeSync(Handlers)({}) }),
  actions: Schema.optionalWith(
    Schema.Array(Schema.Struct({ at: Millis, do: Schema.Array(Op) })),
    { default: () => [] }
  )
}).annotations({ parseOptions: { onExcessProperty: "error" } })

const Entry = Schema.Struct(
  { t: Schema.Number, ev: Schema.String },
  Schema.Record({ key: Schema.String, value: Schema.Unknown })
)

const Final = Schema.Struct({
  is_closed: Schema.Boolean,
  close_finished: Schema.Boolean,
  current_connection: Schema.NullOr(Schema.Struct({ conn: Schema.Number })),
  attempts: Schema.NullOr(Schema.Number)
})

const Trace = Schema.Struct({
  name: Schema.NonEmptyString,
  scenario: Scenario,
  lanes: Schema.Record({ key: Schema.String, value: Schema.Array(Entry) }),
  dropped: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }),
  pending: Schema.NullOr(Schema.Array(Schema.String)),
  final: Schema.NullOr(Final),
  compareUntil: Schema.NullOr(Millis),
  divergence: Schema.NullOr(Schema.String)
})

export type Scenario = typeof Scenario.Type
export type Entry = typeof Entry.Type
export type Final = typeof Final.Type
export type Lanes = Readonly<Record<string, ReadonlyArray<Entry>>>
export interface Trace extends Schema.Schema.Type<typeof Trace> {}

/** A line that is not a trace, and the reason. */
export interface Invalid {
  readonly line: number
  readonly problem: string
}

const decodeLine = Schema.decodeUnknownEither(Schema.parseJson(Trace))

const problem = (error: ParseResult.ParseError): string =>
  ParseResult.ArrayFormatter.formatErrorSync(error)
    .map(({ message, path }) => path.length === 0 ? message : `${path.join(".")}: ${message}`)
    .join("; ")

/** Reads traces, one JSON object per line. Skips blank lines. */
export const parse = (
  text: string
): { readonly traces: ReadonlyArray<Trace>; readonly invalid: ReadonlyArray<Invalid> } => {
  const traces: Array<Trace> = []
  const invalid: Array<Invalid> = []
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue
    const decoded = decodeLine(line)
    if (Either.isRight(decoded)) traces.push(decoded.right)
    else invalid.push({ line: index + 1, problem: problem(decoded.left) })
  }
  return { traces, invalid }
}
