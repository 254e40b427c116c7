import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Tracer from "effect/Tracer"
import type { Attempt } from "../../Connector.js"
import { mapErrors } from "../base/mapErrors.js"
import { printableCause, summary } from "../base/render.js"
import { endpoint } from "./endpoint.js"

/**
 * The part of an attempt's span that the attempt uses.
 *
 * @internal
 */
export interface AttemptSpan {
  /** Runs the look-up in a child span. */
  readonly lookUp: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Runs the connect in a child span. */
  readonly connect: <A, E, R>(address: unknown, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

const noSpan: AttemptSpan = { lookUp: identity, connect: (_, effect) => effect }

/** The fields of an attempt that its span shows. */
type Described = Pick<Attempt<unknown>, "generation" | "owner" | "lastCause" | "number" | "serverName">

/**
 * For each persistent connection, the attempt to which the next one is linked. It keeps only a reference to the span,
 * which may be large.
 */
const previous = new WeakMap<object, Tracer.ExternalSpan>()

/** This tracer drops all spans, so no span is made for it. */
const defaultTracer = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/**
 * Runs an attempt in a span, if there is a tracer. The span is a root, because the fiber that made the persistent
 * connection has long gone on. It is linked to the previous attempt: the one that failed, or whose connection was lost
 * or will be replaced.
 *
 * @internal
 */
export const withAttemptSpan = <A, E, R>(
  attempt: Described,
  isRefresh: boolean,
  /** How the attempt ended, if it was over before its fiber ended. */
  outcome: () => Exit.Exit<unknown, unknown> | undefined,
  run: (span: AttemptSpan) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.zip(FiberRef.get(FiberRef.currentTracerEnabled), Effect.tracer), ([isEnabled, tracer]) => {
    if (!isEnabled || tracer === defaultTracer) return run(noSpan)
    const attributes = {
      "persistent_connection.server_name": attempt.serverName,
      "persistent_connection.generation": attempt.generation,
      "persistent_connection.attempt": attempt.number
    }
    const options = { root: true, kind: "client", attributes, links: linksOf(attempt, isRefresh) } as const
    const use = (span: Tracer.Span) => run(partsOf(span, attributes))
    return inSpan("PersistentConnection.attempt", options, use, outcome, (span, exit) => {
      // No attempt is linked to a failed refresh: the connection stays.
      if (!isRefresh || Exit.isSuccess(exit)) previous.set(attempt.owner, reference(span))
    })
  })

const partsOf = (span: Tracer.Span, attributes: Record<string, unknown>): AttemptSpan => {
  const child = (name: string, more = {}) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    inSpan(name, { parent: span, attributes: { ...attributes, ...more } }, (span) => within(span, effect))
  return {
    lookUp: child("PersistentConnection.lookUp"),
    connect: (address, effect) => {
      const server = serverOf(address)
      for (const [key, value] of Object.entries(server)) span.attribute(key, value)
      return child("PersistentConnection.connect", server)(effect)
    }
  }
}

const linksOf = ({ owner, lastCause }: Described, isRefresh: boolean): ReadonlyArray<Tracer.SpanLink> => {
  const span = previous.get(owner)
  if (span === undefined) return []
  const attributes = Option.isSome(lastCause) && !isRefresh
    ? { "persistent_connection.cause": summary(lastCause.value) }
    : {}
  return [{ _tag: "SpanLink", span, attributes }]
}

const reference = ({ sampled, spanId, traceId }: Tracer.Span): Tracer.ExternalSpan =>
  Tracer.externalSpan({ sampled, spanId, traceId })

const serverOf = (address: unknown): Record<string, unknown> => {
  const { host, port } = endpoint(address)
  return {
    ...host === undefined ? {} : { "server.address": host },
    ...port === undefined ? {} : { "server.port": port }
  }
}

/** As `Effect.useSpan`, but the exit in the span shows no credentials and holds no connection. */
const inSpan = <A, E, R>(
  name: string,
  options: Tracer.SpanOptions,
  use: (span: Tracer.Span) => Effect.Effect<A, E, R>,
  outcome: () => Exit.Exit<unknown, unknown> | undefined = () => undefined,
  atEnd: (span: Tracer.Span, exit: Exit.Exit<unknown, unknown>) => void = () => {}
): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    Effect.makeSpan(name, { ...options, captureStackTrace: false }),
    (span) =>
      Effect.onExit(use(span), (ended) => {
        const exit = outcome() ?? ended
        return Effect.zipWith(Effect.clock, FiberRef.get(FiberRef.currentTracerTimingEnabled), (clock, isTimed) => {
          const type = Exit.isFailure(exit) ? errorType(exit.cause) : undefined
          if (type !== undefined) {
            span.attribute("error.type", type)
          }
          const shown = Exit.isFailure(exit) ? Exit.failCause(printableCause(exit.cause)) : Exit.void
          span.end(isTimed ? clock.unsafeCurrentTimeNanos() : 0n, shown)
          atEnd(span, exit)
        })
      })
  )

/** Makes the span the parent of the spans that an effect makes. */
const within = <A, E, R>(span: Tracer.Span, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  effect.pipe(
    Effect.mapInputContext((context: Context.Context<R>) => Context.add(context, Tracer.ParentSpan, span)),
    Effect.mapErrorCause((cause) => withoutNotes(cause, span))
  )

/**
 * Removes the proxies with which Effect marks an error with its span. The errors of the look-up and the connector must
 * stay unchanged (D5), and the last one is kept for long, with its span.
 */
const withoutNotes = <E>(cause: Cause.Cause<E>, span: Tracer.Span): Cause.Cause<E> => {
  const original = <A>(error: A): A =>
    Predicate.hasProperty(error, note) && error[note] === span ? Cause.originalError(error) : error
  return mapErrors(cause, { error: original, defect: original })
}

const note = Symbol.for("effect/SpanAnnotation")

/** The `error.type` of OpenTelemetry, which should have few values. None for an interruption, which is not an error. */
const errorType = (cause: Cause.Cause<unknown>): string | undefined => {
  const error = Option.orElse(Cause.failureOption(cause), () => Cause.dieOption(cause))
  return Option.getOrUndefined(Option.map(error, typeOf))
}

const typeOf = (error: unknown): string => {
  try {
    for (const key of ["_tag", "code", "name"]) {
      if (Predicate.hasProperty(error, key) && typeof error[key] === "string") return error[key]
    }
  } catch {
    // A property that throws gives no type.
  }
  return "_OTHER"
}
