import { describe, expect } from "@effect/vitest"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import { inspect } from "node:util"
import {
  ask,
  type Fixture,
  makeFixture,
  type Options,
  pass,
  refuse,
  Refused,
  settle,
  sleep
} from "../support/Fixture.js"
import { it } from "../support/virtualTime.js"

const native = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/** A tracer that records its spans in the order of their start. */
class Trace {
  readonly spans: Array<Tracer.Span> = []
  readonly tracer = Tracer.make({
    span: (...options) => {
      const span = native.span(...options)
      this.spans.push(span)
      return span
    },
    context: native.context
  })

  get attempts(): ReadonlyArray<Tracer.Span> {
    return this.spans.filter(({ name }) => name === "PersistentConnection.attempt")
  }

  named(name: string): Tracer.Span {
    const span = this.spans.filter((span) => span.name === name).at(-1)
    if (span === undefined) throw new Error(`There is no span ${name}`)
    return span
  }
}

const makeTracedFixture = (options: Options, prepare?: (fixture: Fixture) => void) =>
  Effect.gen(function*() {
    const trace = new Trace()
    const fixture = yield* Effect.withTracer(makeFixture(options, prepare), trace.tracer)
    return { ...fixture, trace }
  })

const exitOf = ({ status }: Tracer.Span): Exit.Exit<unknown, unknown> | undefined =>
  status._tag === "Ended" ? status.exit : undefined

/** An error whose properties throw. */
const unreadable = Object.create(Error.prototype, {
  message: {
    get: () => {
      throw new Error("unreadable property")
    }
  },
  name: {
    get: () => {
      throw new Error("unreadable property")
    }
  }
}) as Error

/** A short text for the end of a span. */
const endOf = (span: Tracer.Span): string => {
  const exit = exitOf(span)
  if (exit === undefined) return "running"
  if (Exit.isSuccess(exit)) return "success"
  return Exit.isInterrupted(exit) ? "interruption" : Cause.pretty(exit.cause).split("\n")[0]!
}

const parentOf = ({ parent }: Tracer.Span): Tracer.AnySpan | undefined => Option.getOrUndefined(parent)

const attributesOf = ({ attributes }: Tracer.Span) => Object.fromEntries(attributes)

describe("the spans of an attempt", () => {
  it.scoped("are a root with the look-up and the connect as children, which have the spans of users as children", () =>
    Effect.gen(function*() {
      const trace = new Trace()
      const fixture = yield* makeFixture({ serverName: "prices" }, ({ server }) => {
        server.lookUp = () => Effect.withSpan(Effect.as(sleep(1), "wss://feed.example.com/v1"), "dns")
        server.connect = () => Effect.withSpan(sleep(2), "handshake")
      }).pipe(Effect.withSpan("the program"), Effect.withTracer(trace.tracer))
      yield* pass(3)
      expect(yield* fixture.service.isClosed).toBe(false)

      const [program, attempt, lookUp, dns, connect, handshake, ...others] = trace.spans
      expect(others).toEqual([])
      expect(program?.name).toBe("the program")
      expect(attempt).toMatchObject({ name: "PersistentConnection.attempt", kind: "client", links: [] })
      expect(parentOf(attempt!)).toBe(undefined)
      expect(lookUp).toMatchObject({ name: "PersistentConnection.lookUp" })
      expect(parentOf(lookUp!)).toBe(attempt)
      expect(dns?.name).toBe("dns")
      expect(parentOf(dns!)).toBe(lookUp)
      expect(connect).toMatchObject({ name: "PersistentConnection.connect" })
      expect(parentOf(connect!)).toBe(attempt)
      expect(handshake?.name).toBe("handshake")
      expect(parentOf(handshake!)).toBe(connect)
      expect(trace.spans.slice(1).map(endOf)).toEqual(["success", "success", "success", "success", "success"])
      const seconds = ({ status }: Tracer.Span) =>
        status._tag === "Ended" ? [status.startTime, status.endTime].map((nanos) => Number(nanos / 1_000_000_000n)) : []
      expect([attempt!, lookUp!, connect!].map(seconds)).toEqual([[0, 3], [0, 1], [1, 3]])
    }))

  it.scoped("have the attributes of the attempt and its endpoint, by the conventions of OpenTelemetry", () =>
    Effect.gen(function*() {
      const { server, trace } = yield* makeTracedFixture({ serverName: "prices" }, ({ server }) => {
        server.lookUp = () => Effect.succeed("wss://me:hush@feed.example.com/v1?token=hush")
        server.refuse("no")
      })
      yield* settle
      server.accept()
      yield* pass(10)
      const common = {
        "persistent_connection.server_name": "prices",
        "persistent_connection.generation": 1,
        "persistent_connection.attempt": 2
      }
      const where = { "server.address": "feed.example.com", "server.port": 443 }
      expect(attributesOf(trace.named("PersistentConnection.lookUp"))).toEqual(common)
      expect(attributesOf(trace.named("PersistentConnection.connect"))).toEqual({ ...common, ...where })
      expect(attributesOf(trace.attempts[1]!)).toEqual({ ...common, ...where })
      expect(attributesOf(trace.attempts[0]!)).toEqual({
        ...common,
        ...where,
        "persistent_connection.attempt": 1,
        "error.type": "Refused"
      })
    }))

  const ends: ReadonlyArray<{
    readonly name: string
    readonly prepare: (fixture: Fixture) => void
    readonly ends: ReadonlyArray<string>
    readonly type: string | undefined
  }> = [
    {
      name: "a failure of the look-up",
      prepare: ({ server }) => {
        server.lookUp = () => refuse("no such host")
      },
      ends: ["Refused: no such host", "Refused: no such host"],
      type: "Refused"
    },
    {
      name: "a failure of the connect",
      prepare: ({ server }) => server.refuse("no"),
      ends: ["Refused: no", "success", "Refused: no"],
      type: "Refused"
    },
    {
      name: "a defect",
      prepare: ({ server }) => {
        server.connect = () => Effect.die(new TypeError("bug"))
      },
      ends: ["TypeError: bug", "success", "TypeError: bug"],
      type: "TypeError"
    },
    {
      name: "an error with a code",
      prepare: ({ server }) => {
        server.connect = () => Effect.die(Object.assign(new Error("refused"), { code: "ECONNREFUSED" }))
      },
      ends: ["Error: refused", "success", "Error: refused"],
      type: "ECONNREFUSED"
    },
    {
      name: "an error with a code that is a number",
      prepare: ({ server }) => {
        server.connect = () => Effect.die(Object.assign(new RangeError("refused"), { code: 111 }))
      },
      ends: ["RangeError: refused", "success", "RangeError: refused"],
      type: "RangeError"
    },
    {
      name: "an error with a tag and no name",
      prepare: ({ server }) => {
        server.connect = () => Effect.die({ _tag: "Banned" })
      },
      ends: ["Banned: Banned", "success", "Banned: Banned"],
      type: "Banned"
    },
    {
      name: "a defect that is not an Error",
      prepare: ({ server }) => {
        server.connect = () => Effect.die(3)
      },
      ends: ["Error: 3", "success", "Error: 3"],
      type: "_OTHER"
    },
    {
      name: "a timeout",
      prepare: ({ server }) => {
        server.connect = () => Effect.never
      },
      ends: [
        "TimeoutException: Looking up and connecting to \"test\" took longer than 5s",
        "success",
        "interruption"
      ],
      type: "TimeoutException"
    }
  ]

  for (const { ends: expected, name, prepare, type } of ends) {
    it.scoped(`end with the result of the attempt: ${name}`, () =>
      Effect.gen(function*() {
        const { trace } = yield* makeTracedFixture({ attemptTimeout: Duration.seconds(5) }, prepare)
        yield* pass(5)
        expect(trace.spans.map(endOf)).toEqual(expected)
        expect(trace.attempts[0]!.attributes.get("error.type")).toBe(type)
      }))
  }

  it.scoped("end with an interruption, not with an error, after a close", () =>
    Effect.gen(function*() {
      const { service, trace } = yield* makeTracedFixture({}, ({ server }) => {
        server.connect = () => Effect.never
      })
      yield* pass(1)
      expect(trace.spans.map(endOf)).toEqual(["running", "success", "running"])
      yield* service.close
      yield* settle
      expect(trace.spans.map(endOf)).toEqual(["interruption", "success", "interruption"])
      expect(trace.attempts[0]!.attributes.has("error.type")).toBe(false)
    }))

  it.scoped("hold no connection, and no credentials that an error quotes", () =>
    Effect.gen(function*() {
      const { server, trace } = yield* makeTracedFixture({})
      server.refuse("GET wss://me:hush@feed.example.com/v1?token=hush failed")
      yield* settle
      server.accept()
      yield* pass(10)
      expect(exitOf(trace.attempts[1]!)).toEqual(Exit.void)
      const [first] = trace.attempts
      expect(endOf(first!)).toBe("Refused: GET wss://feed.example.com/v1 failed")
      expect(JSON.stringify([...trace.spans.map(exitOf), ...trace.spans.flatMap(({ links }) => links)]))
        .not.toContain("hush")
    }))

  const secret = "hunter2hunter2"
  const failures: ReadonlyArray<readonly [name: string, error: Error]> = [
    ["its fields", Object.assign(new Error("refused"), { _tag: "LoginFailed", password: secret })],
    [
      "its request",
      Object.assign(new Error("401"), { config: { headers: { Authorization: `Bearer ${secret}` } } })
    ],
    [
      "the errors in it",
      new AggregateError([new Error(`wss://bob:${secret}@a`), new Error(`wss://bob:${secret}@b`)], "all refused")
    ],
    ["its cause", new Error("refused", { cause: new Error(`wss://a/?token=${secret}`) })]
  ]
  for (const [name, error] of failures) {
    it.scoped(`D12: have no user errors, so that no exporter can show a secret in ${name}`, () =>
      Effect.gen(function*() {
        const { server, trace } = yield* makeTracedFixture({})
        server.connect = () => Effect.die(error)
        yield* pass(10)
        expect(trace.attempts).toHaveLength(2)
        for (const { links, ...span } of trace.spans) {
          const printed = inspect([exitOf({ links, ...span } as Tracer.Span), span.attributes, links], {
            depth: 20,
            showHidden: true
          })
          expect(printed).not.toContain(secret)
        }
        const [attempt] = trace.attempts
        const exit = exitOf(attempt!)
        expect(exit !== undefined && Exit.isFailure(exit) && Cause.squash(exit.cause)).not.toBe(error)
        expect(endOf(attempt!)).toContain(error.message)
      }))
  }

  it.scoped("do not change the errors (D5)", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeTracedFixture({})
      const refused = new Refused({ text: "mine" })
      server.connect = () => Effect.fail(refused)
      const asked = yield* ask(service.connectedOrFailedToConnect)
      yield* settle
      expect(asked.error).toBe(refused)
      const defect = new Error("bug")
      server.connect = () => Effect.die(defect)
      const askedAgain = yield* ask(Effect.sandbox(service.connectedOrFailedToConnect))
      yield* pass(10)
      expect(askedAgain.error).toEqual(Cause.die(defect))
      const { lastCause } = yield* service.state.get
      expect(Option.getOrThrow(Cause.dieOption(Option.getOrThrow(lastCause)))).toBe(defect)
    }))

  it.scoped("keep the span of the user's code on an error", () =>
    Effect.gen(function*() {
      const { server, service } = yield* makeTracedFixture({})
      server.connect = () => Effect.withSpan(refuse("no"), "handshake")
      const asked = yield* ask(service.connectedOrFailedToConnect)
      yield* settle
      const { name } = Reflect.get(asked.error!, Symbol.for("effect/SpanAnnotation")) as Tracer.Span
      expect(name).toBe("handshake")
    }))

  it.scoped("have no server attributes that the address does not show", () =>
    Effect.gen(function*() {
      const { trace } = yield* makeTracedFixture({}, ({ server }) => {
        server.lookUp = () => Effect.succeed("/run/feed.sock")
      })
      yield* settle
      const attributes = trace.named("PersistentConnection.connect").attributes
      expect([attributes.get("server.address"), attributes.has("server.port")]).toEqual(["/run/feed.sock", false])
      const nameless = yield* makeTracedFixture({}, ({ server }) => {
        server.lookUp = () => Effect.succeed("prices")
      })
      yield* settle
      expect(nameless.trace.named("PersistentConnection.connect").attributes.has("server.address")).toBe(false)
    }))

  it.scoped("also work for an unreadable error", () =>
    Effect.gen(function*() {
      const { server, trace } = yield* makeTracedFixture({})
      server.connect = () => Effect.die(unreadable)
      yield* pass(10)
      expect(trace.attempts.map(endOf)).toEqual(["Error: <unreadable>", "Error: <unreadable>"])
      expect(trace.attempts.map(({ attributes }) => attributes.get("error.type"))).toEqual(["_OTHER", "_OTHER"])
      expect(trace.attempts[1]!.links[0]!.attributes).toEqual({ "persistent_connection.cause": "defect: <unreadable>" })
      server.accept()
      yield* pass(10)
      expect(trace.attempts.map(endOf).at(-1)).toBe("success")
    }))

  it.scoped("are not created without a tracer", () =>
    Effect.gen(function*() {
      const parents: Array<unknown> = []
      const connect = () =>
        Effect.map(Effect.option(Effect.currentParentSpan), (parent) => parents.push(Option.getOrUndefined(parent)))
      const trace = new Trace()
      yield* makeFixture({}, ({ server }) => {
        server.connect = connect
      }).pipe(Effect.withTracer(trace.tracer), Effect.withTracerEnabled(false))
      yield* makeFixture({}, ({ server }) => {
        server.connect = connect
      })
      yield* settle
      expect(parents).toEqual([undefined, undefined])
      expect(trace.spans).toEqual([])
    }))
})

describe("the links", () => {
  it.scoped("point to the last failed attempt, or to the attempt of the lost connection, with the cause", () =>
    Effect.gen(function*() {
      const { server, trace } = yield* makeTracedFixture({})
      server.refuse("not yet")
      yield* settle
      server.accept()
      yield* pass(10)
      server.line.drop(Exit.fail(new Refused({ text: "reset" })))
      yield* pass(10)
      server.line.drop()
      yield* pass(10)
      const links = trace.attempts.map(({ links }) => links)
      expect(links.map(({ length }) => length)).toEqual([0, 1, 1, 1])
      expect(links.slice(1).map(([link]) => link!.span.spanId)).toEqual(
        trace.attempts.slice(0, 3).map(({ spanId }) => spanId)
      )
      expect(links.slice(1).map(([link]) => link!.span.traceId)).toEqual(
        trace.attempts.slice(0, 3).map(({ traceId }) => traceId)
      )
      expect(links.slice(1).map(([link]) => link!.attributes["persistent_connection.cause"])).toEqual([
        "not yet",
        "reset",
        "a close without an error"
      ])
    }))

  it.scoped("do not retain spans", () =>
    Effect.gen(function*() {
      const { server, trace } = yield* makeTracedFixture({})
      yield* pass(10)
      server.line.drop()
      yield* settle
      expect(trace.attempts[1]!.links[0]).toMatchObject({ _tag: "SpanLink", span: { _tag: "ExternalSpan" } })
    }))

  it.scoped("of two persistent connections are independent", () =>
    Effect.gen(function*() {
      const trace = new Trace()
      const one = yield* Effect.withTracer(makeFixture(), trace.tracer)
      yield* Effect.withTracer(makeFixture(), trace.tracer)
      yield* pass(10)
      expect(trace.attempts.map(({ links }) => links)).toEqual([[], []])
      one.server.line.drop()
      yield* settle
      expect(trace.attempts[2]!.links[0]!.span.spanId).toBe(trace.attempts[0]!.spanId)
    }))

  it.scoped("point from a refresh to the attempt of the replaced connection, and from the next attempt to the refresh", () =>
    Effect.gen(function*() {
      const { server, service, trace } = yield* makeTracedFixture({})
      yield* pass(10)
      yield* PersistentConnection.refresh(service)
      yield* pass(10)
      server.line.drop()
      yield* pass(10)
      const [first, refresh, next] = trace.attempts
      expect(refresh!.links.map(({ span }) => span.spanId)).toEqual([first!.spanId])
      expect(next!.links.map(({ span }) => span.spanId)).toEqual([refresh!.spanId])
    }))

  it.scoped("never go to a failed refresh, because the connection stays", () =>
    Effect.gen(function*() {
      const { server, service, trace } = yield* makeTracedFixture({})
      yield* settle
      server.refuse("no")
      yield* Effect.flip(PersistentConnection.refresh(service))
      yield* Effect.flip(PersistentConnection.refresh(service))
      server.line.drop()
      yield* pass(10)
      const [first, ...others] = trace.attempts
      expect(others.map(({ links }) => links.map(({ span }) => span.spanId))).toEqual(others.map(() => [first!.spanId]))
      expect(others.map(({ links }) => links[0]!.attributes)).toEqual([
        {},
        {},
        { "persistent_connection.cause": "a close without an error" }
      ])
    }))
})
