import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import * as Connector from "../../Connector.js"
import type { Answer, Attempt, Line, Options, Outcome, TestConnector } from "../../testing/TestConnector.js"
import * as option from "../base/options.js"
import { Signal } from "../base/signal.js"
import { never, sleep } from "../base/time.js"
import { asAnswer, asAnswers, asCause, hang, succeed } from "./testAnswer.js"

/** The scripted loss of a connection. */
interface Loss<E> {
  readonly after: Duration.Duration
  readonly cause: Cause.Cause<E>
}

/** A connection and its current status. */
class Link<Connection, E> {
  isLost = false
  isSilent = false
  isReleased = false
  private readonly end = Deferred.unsafeMake<void, E>(FiberId.none)
  readonly closed = Deferred.await(this.end)
  readonly ping: Effect.Effect<void> = Effect.suspend(() => this.isOpen && !this.isSilent ? Effect.void : never)
  readonly connection: Connection

  constructor(makeConnection: (ping: Effect.Effect<void>) => Connection) {
    this.connection = makeConnection(this.ping)
  }

  get isOpen(): boolean {
    return !this.isLost && !this.isReleased
  }

  lose(cause: Cause.Cause<E>): void {
    this.isLost = true
    Deferred.unsafeDone(this.end, Cause.isEmpty(cause) ? Exit.void : Exit.failCause(cause))
  }

  release(): void {
    this.isReleased = true
    Deferred.unsafeDone(this.end, Exit.void)
  }
}

/** An attempt. While it waits, the test can overrule its answer. */
class Call<Connection, E, Address> {
  readonly overruled = new Signal<Answer<Connection, E, Address>>()
  readonly begunAt: number
  outcome: Outcome<Connection, E> = { _tag: "UnderWay" }

  constructor(
    readonly number: number,
    readonly address: Address,
    readonly attempt: Connector.Attempt<Address>,
    readonly clock: Clock.Clock
  ) {
    this.begunAt = clock.unsafeCurrentTimeMillis()
  }

  get isUnderWay(): boolean {
    return this.outcome._tag === "UnderWay"
  }

  get record(): Attempt<Connection, E, Address> {
    const { address, attempt, begunAt, number, outcome } = this
    return { number, serverName: attempt.serverName, address, begunAt, outcome }
  }

  ended(exit: Exit.Exit<Connection, E>): void {
    const at = this.clock.unsafeCurrentTimeMillis()
    this.outcome = Exit.isSuccess(exit)
      ? { _tag: "Succeeded", at, connection: exit.value }
      : Cause.isInterruptedOnly(exit.cause)
      ? { _tag: "Interrupted", at }
      : { _tag: "Failed", at, cause: exit.cause }
  }
}

const asNumber = option.value("a whole number", Number.isSafeInteger)

const mistake = (message: string): Effect.Effect<never> => Effect.die(new Cause.RuntimeException(message))

class Impl<Connection, E, Address> implements TestConnector<Connection, E, Address> {
  private readonly calls: Array<Call<Connection, E, Address>> = []
  private readonly links: Array<Link<Connection, E>> = []
  /** The latest link of each connection: a test may use one connection twice. */
  private readonly byConnection = new Map<Connection, Link<Connection, E>>()
  private readonly begun = new Signal<void>()
  private script: ReadonlyArray<Answer<Connection, E, Address>>

  constructor(
    script: ReadonlyArray<Answer<Connection, E, Address>>,
    private readonly makeConnection: (line: Line<Address>) => Connection
  ) {
    this.script = script.length === 0 ? [succeed()] : script
  }

  readonly connector = Connector.make<Address, Connection, E, E, Scope.Scope>({
    connect: (address, attempt) => Effect.clockWith((clock) => this.connect(address, attempt, clock)),
    closed: (connection) => Effect.suspend(() => this.linkOf(connection).closed),
    isClosed: (connection) => !this.linkOf(connection).isOpen,
    probe: (connection) => Effect.suspend(() => this.linkOf(connection).ping)
  })

  readonly onNextAttempt = (...answers: ReadonlyArray<Answer<Connection, E, Address>>) =>
    Effect.sync(() => {
      this.script = [...asAnswers("answers", answers), ...this.script]
    })

  readonly always = (answer: Answer<Connection, E, Address>) =>
    Effect.sync(() => {
      this.script = [asAnswer("answer", answer)]
    })

  readonly answer = (answer: Answer<Connection, E, Address>) =>
    Effect.suspend(() => {
      const calls = this.calls.filter((call) => call.isUnderWay)
      calls.forEach((call) => call.overruled.notify(Exit.succeed(asAnswer("answer", answer))))
      return calls.length === 0 ? mistake("There is no attempt under way to answer") : Effect.void
    })

  readonly lose = (cause: Cause.Cause<E> = Cause.empty, connection?: Connection) =>
    this.forOpen("lose", connection, (link) => link.lose(asCause("cause", cause)))

  readonly fallSilent = (connection?: Connection) =>
    this.forOpen("silence", connection, (link) => {
      link.isSilent = true
    })

  readonly attempts = Effect.sync(() => this.calls.map((call) => call.record))

  readonly awaitAttempts = (count: number): Effect.Effect<void> =>
    Effect.suspend(() =>
      this.calls.length >= asNumber("count", count)
        ? Effect.void
        : Effect.andThen(this.begun.next, this.awaitAttempts(count))
    )

  readonly opened = Effect.sync(() => this.links.length)

  readonly released = Effect.sync(() => this.links.filter((link) => link.isReleased).length)

  readonly open = this.connections((link) => link.isOpen)

  readonly leaked = this.connections((link) => !link.isReleased)

  private connections(filter: (link: Link<Connection, E>) => boolean): Effect.Effect<ReadonlyArray<Connection>> {
    return Effect.sync(() => this.links.filter(filter).map((link) => link.connection))
  }

  private forOpen(
    what: string,
    connection: Connection | undefined,
    f: (link: Link<Connection, E>) => void
  ): Effect.Effect<void> {
    return Effect.suspend(() => {
      const links = this.links.filter((link) =>
        link.isOpen && (connection === undefined || link.connection === connection)
      )
      links.forEach(f)
      return links.length === 0 ? mistake(`There is no open connection to ${what}`) : Effect.void
    })
  }

  private linkOf(connection: Connection): Link<Connection, E> {
    const link = this.byConnection.get(connection)
    if (link === undefined) throw new Cause.IllegalArgumentException("The connection does not belong to this connector")
    return link
  }

  private connect(
    address: Address,
    attempt: Connector.Attempt<Address>,
    clock: Clock.Clock
  ): Effect.Effect<Connection, E, Scope.Scope> {
    const call = new Call<Connection, E, Address>(this.calls.length + 1, address, attempt, clock)
    this.calls.push(call)
    this.begun.notify(Exit.void)
    const [answer = hang, ...rest] = this.script
    if (rest.length > 0) this.script = rest
    return Effect.onExit(this.perform(call, answer), (exit) => Effect.sync(() => call.ended(exit)))
  }

  private perform(
    call: Call<Connection, E, Address>,
    { action }: Answer<Connection, E, Address>,
    loss?: Loss<E>
  ): Effect.Effect<Connection, E, Scope.Scope> {
    switch (action._tag) {
      case "Succeed":
        return this.establish(call, action.connection, loss)
      case "Fail":
        return Effect.failCause(action.cause)
      case "Hang":
        return Effect.flatMap(call.overruled.next, (answer) => this.perform(call, answer))
      case "Abort":
        return call.attempt.abort(action.error)
      case "Decide":
        return Effect.suspend(() =>
          this.perform(call, asAnswer("The result of decide", action.decide(call.address, call.attempt)), loss)
        )
      case "Delayed":
        return Effect.flatMap(
          Effect.raceFirst(Effect.as(sleep(call.clock, action.delay), undefined), call.overruled.next),
          (overruled) =>
            overruled === undefined ? this.perform(call, action.answer, loss) : this.perform(call, overruled)
        )
      case "ThenLose":
        return this.perform(call, action.answer, loss ?? action)
    }
  }

  private establish(
    call: Call<Connection, E, Address>,
    given: { readonly value: Connection } | undefined,
    loss: Loss<E> | undefined
  ): Effect.Effect<Connection, E, Scope.Scope> {
    const open = Effect.sync(() => {
      const number = this.links.length + 1
      const link = new Link<Connection, E>((ping) =>
        given === undefined ? this.makeConnection({ number, address: call.address, ping }) : given.value
      )
      this.links.push(link)
      this.byConnection.set(link.connection, link)
      return link
    })
    return Effect.acquireRelease(open, (link) => Effect.sync(() => link.release())).pipe(
      Effect.tap((link) =>
        loss && Effect.forkScoped(
          Effect.zipRight(
            sleep(call.clock, loss.after),
            Effect.sync(() => link.lose(loss.cause))
          )
        )
      ),
      Effect.map((link) => link.connection)
    )
  }
}

/** @internal */
export function make<E, Address>(
  options?: Omit<Options<Line<Address>, E, Address>, "connection">
): Effect.Effect<TestConnector<Line<Address>, E, Address>>
export function make<Connection, E, Address>(
  options: Options<Connection, E, Address>
): Effect.Effect<TestConnector<Connection, E, Address>>
export function make<Connection, E, Address>(
  options?: Partial<Options<Connection | Line<Address>, E, Address>>
): Effect.Effect<TestConnector<Connection | Line<Address>, E, Address>> {
  return Effect.sync(() => {
    const { connection = (line: Line<Address>) => line, script = [] } = option.read(options, readers)
    return new Impl(script, connection)
  })
}

const readers = { connection: option.optional(option.func), script: option.optional(asAnswers) }
