import { endpoint } from "#internal/loop/endpoint.js"
import { describe, expect, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Redacted from "effect/Redacted"

describe("the endpoint of an address", () => {
  const examples: ReadonlyArray<readonly [address: unknown, endpoint: object]> = [
    ["wss://me:hush@feed.example.com/v1", { host: "feed.example.com", port: 443 }],
    ["ws://[::1]:8080", { host: "::1", port: 8080 }],
    ["postgres://db.example.com/db", { host: "db.example.com" }],
    [new URL("https://a.example.com"), { host: "a.example.com", port: 443 }],
    ["feed.example.com:80", { host: "feed.example.com", port: 80 }],
    ["me:hush@feed.example.com:80", { host: "feed.example.com", port: 80 }],
    ["[::1]:80", { host: "::1", port: 80 }],
    ["/run/feed.sock", { host: "/run/feed.sock" }],
    [{ host: "a", port: 1 }, { host: "a", port: 1 }],
    [{ hostname: "a", port: "1" }, { host: "a", port: 1 }],
    [{ path: "/run/feed.sock" }, { host: "/run/feed.sock" }],
    [{ url: "ws://a", protocols: [] }, { host: "a", port: 80 }],
    ["prices", {}],
    [Redacted.make("a:1"), {}],
    ["mongodb://a,b/db", { host: "a,b" }],
    [undefined, {}],
    [{ host: 1 }, {}]
  ]

  for (const [address, expected] of examples) {
    it(`is ${JSON.stringify(expected)}: ${String(address)}`, () => expect(endpoint(address)).toEqual(expected))
  }

  it("is an object for any kind of address", () => {
    FastCheck.assert(FastCheck.property(
      FastCheck.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true }),
      (address) => {
        expect(typeof endpoint(address)).toBe("object")
      }
    ))
  })
})
