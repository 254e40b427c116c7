/** A server that sends messages on each connection. Unread messages wait in an inbox. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { type Fixture, type Line, makeFixture, type Options, type Refused } from "../support/Fixture.js"
import { streamOf } from "../support/polled.js"

/** The inboxes of all connections. Each is emptied when its connection is released. */
export class Inboxes {
  private readonly mailboxes = new Map<Line, Mailbox.Mailbox<string, Refused>>()
  private readonly streams = new Map<Line, Stream.Stream<string, Refused>>()

  readonly open = (line: Line): Effect.Effect<void, never, Scope.Scope> =>
    Effect.flatMap(Mailbox.make<string, Refused>(), (mailbox) => {
      this.mailboxes.set(line, mailbox)
      return Effect.map(streamOf(mailbox), (stream) => void this.streams.set(line, stream))
    })

  /** Sends messages from the server. */
  send(line: Line, ...messages: ReadonlyArray<string>): void {
    this.mailboxes.get(line)!.unsafeOfferAll(messages)
  }

  /** Ends the connection and its inbox. Messages that were received before can still be read. */
  end(line: Line, exit: Exit.Exit<void, Refused> = Exit.void): void {
    this.mailboxes.get(line)!.unsafeDone(exit)
    line.drop(exit)
  }

  /** The messages of a connection. */
  readonly stream = (line: Line): Stream.Stream<string, Refused> => this.streams.get(line)!
}

export interface InboxFixture extends Fixture {
  readonly inboxes: Inboxes
}

/** Makes a fixture with inboxes. `greet` runs on each new connection. */
export const makeInboxFixture = (
  options: Options = {},
  greet: (line: Line, inboxes: Inboxes) => void = () => {}
): Effect.Effect<InboxFixture, never, Scope.Scope> => {
  const inboxes = new Inboxes()
  return Effect.map(
    makeFixture(options, ({ server }) => {
      server.connect = (_, line) => Effect.map(inboxes.open(line), () => greet(line, inboxes))
    }),
    (fixture) => ({ ...fixture, inboxes })
  )
}
