/** The type helpers for a `Context.Tag`. */
import { describe, expect, it } from "@effect/vitest"
import * as Addresses from "@persistent-connection/core/Addresses"
import type { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { expectTypeOf } from "vitest"

class Refused extends Data.TaggedError("Refused")<{}> {}
class NotFound extends Data.TaggedError("NotFound")<{}> {}
class Network extends Context.Tag("Network")<Network, object>() {}

interface Line {
  readonly send: (text: string) => void
}

interface Feed {
  readonly price: number
}

const transport = Connector.make({
  connect: (_host: string) => Effect.zipRight(Network, Effect.fail(new Refused())),
  closed: (_line: Line) => Effect.never
})

const connector = transport.pipe(
  Connector.setup((_line: Line) => Effect.succeed({ price: 1 } as Feed)),
  Connector.connectTimeout("5 seconds")
)

type FeedError = Refused | ConnectionLost | Cause.TimeoutException

describe("the type of a tag", () => {
  it("Connector.Connection and Connector.Error are the types of a connector", () => {
    expectTypeOf<Connector.Connection<typeof transport>>().toEqualTypeOf<Line>()
    expectTypeOf<Connector.Error<typeof transport>>().toEqualTypeOf<Refused>()
    expectTypeOf<Connector.Connection<typeof connector>>().toEqualTypeOf<Feed>()
    expectTypeOf<Connector.Error<typeof connector>>().toEqualTypeOf<FeedError>()
    expectTypeOf<Connector.Error<Connector.Connector<string, Line>>>().toEqualTypeOf<never>()
    // @ts-expect-error A value that is not a connector is rejected.
    expectTypeOf<Connector.Error<string>>().toBeNever()
  })

  it("PersistentConnection.Of includes the errors of the connector and of the look-up", () => {
    type Of<LookUp = never> = PersistentConnection.Of<typeof connector, LookUp>
    type Expected<E = never> = PersistentConnection.PersistentConnection<Feed, FeedError | E>
    const lookUp = (attempt: Connector.Attempt<string>) =>
      attempt.number > 1 ? Effect.fail(new NotFound()) : Effect.succeed("a")
    const infallible = Addresses.failover(["a", "b"])
    expectTypeOf<Of>().toEqualTypeOf<Expected>()
    expectTypeOf<Of<Effect.Effect<string, NotFound, Network>>>().toEqualTypeOf<Expected<NotFound>>()
    expectTypeOf<Of<typeof lookUp>>().toEqualTypeOf<Expected<NotFound>>()
    expectTypeOf<Of<typeof infallible>>().toEqualTypeOf<Expected>()
    const made = PersistentConnection.make({ serverName: "feed", address: lookUp, connector })
    expectTypeOf<Effect.Effect.Success<typeof made>>().toEqualTypeOf<Of<typeof lookUp>>()
  })

  it("a layer can provide it", () => {
    class Prices extends Context.Tag("Prices")<Prices, PersistentConnection.Of<typeof connector>>() {}
    const layer = PersistentConnection.layer(Prices, { serverName: "feed", address: Effect.succeed("a"), connector })
    expectTypeOf(layer).toEqualTypeOf<Layer.Layer<Prices, never, Network>>()
    expect(Layer.isLayer(layer)).toBe(true)
  })
})
