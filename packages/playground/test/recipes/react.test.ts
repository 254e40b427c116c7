import { Registry, RegistryContext } from "@effect-atom/atom-react"
import { assert, it } from "@effect/vitest"
import * as PersistentConnection from "@persistent-connection/core/PersistentConnection"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as TestConnector from "@persistent-connection/core/testing/TestConnector"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { createElement } from "react"
import { renderToStaticMarkup } from "react-dom/server"
import { Banner, Prices, statusOf } from "../../src/recipes/statusBanner.js"
import { expectOnPage } from "./support.js"

it.scoped("shows each status, but no short loss", () =>
  Effect.gen(function*() {
    const server = yield* TestConnector.make<Error>()
    yield* server.always(TestConnector.fail(new Error("refused")))
    const feed = yield* PersistentConnection.make({
      serverName: "prices",
      address: Effect.void,
      connector: server.connector,
      retry: RetryPolicy.fixed("1 minute")
    })
    const status = statusOf(Layer.merge(Layer.succeed(Prices, feed), Layer.setClock(yield* Effect.clock)))
    const registry = Registry.make()
    yield* Effect.acquireRelease(Effect.sync(() => registry.mount(status)), (unmount) => Effect.sync(unmount))
    const banner = createElement(RegistryContext.Provider, { value: registry }, createElement(Banner, { status }))
    const shown = Effect.sync(() => renderToStaticMarkup(banner).replaceAll(/<.+?>|\d+:\d+:\d+/g, ""))

    yield* TestClock.adjust("1 second")
    assert.strictEqual(yield* shown, "Connecting …")
    yield* server.always(TestConnector.succeed())
    yield* PersistentConnection.reconnectNow(feed)
    yield* TestClock.adjust("30 seconds")
    assert.strictEqual(yield* shown, "")
    yield* server.always(TestConnector.fail(new Error("refused")))
    yield* server.lose()
    yield* TestClock.adjust("6 seconds")
    assert.strictEqual(yield* shown, "")
    yield* TestClock.adjust("2 seconds")
    assert.match(yield* shown, /^No connection since .*Next attempt at /)
    yield* feed.close
    yield* TestClock.adjust("1 second")
    assert.strictEqual(yield* shown, "Disconnected")
  }))

it("is the code of the documentation", () => {
  expectOnPage("watching", "statusBanner.tsx")
})
