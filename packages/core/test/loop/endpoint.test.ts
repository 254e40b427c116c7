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
    ["feed.example.com:8080/v1", { host: "feed.example.com", port: 8080 }],
    ["feed.example.com:8080?v=1", {}],
    ["http:80", { host: "http", port: 80 }],
    ["a b:80", {}],
    ["[fe80::1:af]:8080/v1", { host: "fe80::1:af", port: 8080 }],
    ["[FE80::1]:80", { host: "FE80::1", port: 80 }],
    ["[host]:80", {}],
    ["x[::1]:80", {}],
    ["/run/feed.sock", { host: "/run/feed.sock" }],
    ["../feed.sock", { host: "../feed.sock" }],
    ["~/feed.sock", { host: "~/feed.sock" }],
    ["C:\\feed", { host: "C:\\feed" }],
    ["//feed", {}],
    ["feed/a", {}],
    ["feed://", {}],
    ["file:///run/feed", {}],
    [new URL("mailto:me"), {}],
    ["http://[::1]", { host: "::1", port: 80 }],
    ["http://a/", { host: "a", port: 80 }],
    ["https://a/", { host: "a", port: 443 }],
    [{ host: "a", port: 1 }, { host: "a", port: 1 }],
    [{ hostname: "a", port: "1" }, { host: "a", port: 1 }],
    [{ host: "a" }, { host: "a" }],
    [{ host: "a", hostname: "b" }, { host: "a" }],
    [{ host: "wss://me:hush@a/" }, { host: "wss://a/" }],
    [{ host: "a", port: "" }, { host: "a" }],
    [{ host: "a", port: "b" }, { host: "a" }],
    [{ host: "a", port: 1.5 }, { host: "a" }],
    [{ host: "a", port: null }, { host: "a" }],
    [{ path: "/run/feed.sock" }, { host: "/run/feed.sock" }],
    [{ path: 1, host: "a" }, { host: "a" }],
    [{ path: "feed:80", host: "a" }, { host: "feed", port: 80 }],
    [{ url: "ws://a", protocols: [] }, { host: "a", port: 80 }],
    ["prices", {}],
    [Redacted.make("a:1"), {}],
    ["mongodb://a,b/db", { host: "a,b" }],
    [undefined, {}],
    [null, {}],
    [80, {}],
    [{ host: 1 }, {}]
  ]

  const unreadable = {
    get host(): string {
      throw new Error("do not look")
    }
  }
  it("is none if the address cannot be read", () => expect(endpoint(unreadable)).toEqual({}))

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
