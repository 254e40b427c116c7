import { equalContent } from "#internal/base/equalContent.js"
import { describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"

class Host {
  constructor(readonly name: string) {}
}

class OtherHost {
  constructor(readonly name: string) {}
}

class Secret {
  readonly #value: string
  constructor(value: string) {
    this.#value = value
  }
  reveal(): string {
    return this.#value
  }
}

const unreadable = () => ({
  get secret(): never {
    throw new Error("private")
  }
})

/** Compares in both directions, because equality is symmetric. */
const same = (self: unknown, that: unknown): boolean => {
  const answer = equalContent(self, that)
  expect(equalContent(that, self)).toBe(answer)
  return answer
}

/** A value and a copy of it that share no object. */
const rebuilt = FastCheck.json().map((text) => [JSON.parse(text), JSON.parse(text)] as const)

describe("two addresses", () => {
  it.prop("C4: are the same if one is a copy of the other", [rebuilt], ([[self, that]]) => {
    expect(same(self, that)).toBe(true)
  })

  it.prop("C4: differ if their JSON differs", [FastCheck.json(), FastCheck.json()], ([one, other]) => {
    // The order of keys does not count, so `toEqual` is the reference.
    const [self, that] = [JSON.parse(one), JSON.parse(other)]
    let isEqual = true
    try {
      expect(self).toStrictEqual(that)
    } catch {
      isEqual = false
    }
    expect(same(self, that)).toBe(isEqual)
  })

  it.prop(
    "C4: of any type can be compared, and are equal to themselves",
    [FastCheck.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true })],
    ([value]) => {
      expect(same(value, value)).toBe(true)
    }
  )

  it("C4: that implement `Equal` are compared by it", () => {
    expect(same(Duration.seconds(1), Duration.millis(1000))).toBe(true)
    expect(same(Duration.seconds(1), Duration.seconds(2))).toBe(false)
    expect(same(Chunk.make(1, 2), Chunk.make(1, 2))).toBe(true)
    expect(same(Option.some(1), Option.some(2))).toBe(false)
    expect(same(Data.struct({ host: "a" }), Data.struct({ host: "a" }))).toBe(true)
  })

  it("C4: are compared by class and content", () => {
    expect(same(new Host("a"), new Host("a"))).toBe(true)
    expect(same(new Host("a"), new Host("b"))).toBe(false)
    expect(same(new Host("a"), new OtherHost("a"))).toBe(false)
    expect(same(new Date(5), new Date(5))).toBe(true)
    expect(same(new Date(5), new Date(6))).toBe(false)
    expect(same(new URL("wss://a/x"), new URL("wss://a/x"))).toBe(true)
    expect(same(new URL("wss://a/x"), new URL("wss://a/y"))).toBe(false)
    expect(same({ url: new URL("wss://a/x") }, { url: new URL("wss://a/x") })).toBe(true)
    expect(same({ a: undefined }, {})).toBe(false)
    expect(same({ a: undefined }, { b: undefined })).toBe(false)
    expect(same([1, 2], [1, 2])).toBe(true)
    expect(same([1, 2], [2, 1])).toBe(false)
    expect(same({ bytes: new Uint8Array([1, 2]) }, { bytes: new Uint8Array([1, 2]) })).toBe(true)
    expect(same(new Uint8Array([1, 2]), new Uint8Array([1, 3]))).toBe(false)
  })

  it("C4: that are maps or sets are compared by their entries", () => {
    const options = (port: number) => new Map<string, unknown>([["a", 1], ["b", { port }]])
    expect(same(options(1), options(1))).toBe(true)
    expect(same(options(1), options(2))).toBe(false)
    expect(same(options(1), new Map([...options(1)].slice(1)))).toBe(false)
    expect(same(new Set([new Host("a")]), new Set([new Host("a")]))).toBe(true)
    expect(same(new Set([new Host("a")]), new Set([new Host("b")]))).toBe(false)
    expect(same(new Set(), new Map())).toBe(false)
  })

  it("C4: that are primitive values are compared directly", () => {
    expect(same(NaN, NaN)).toBe(true)
    expect(same(1, "1")).toBe(false)
    expect(same(null, undefined)).toBe(false)
    expect(same(null, {})).toBe(false)
    expect(same(1n, 1n)).toBe(true)
  })

  it("C4: may be circular", () => {
    const cyclic = (name: string) => {
      const value: { readonly name: string; self?: unknown } = { name }
      value.self = { inner: [value] }
      return value
    }
    expect(same(cyclic("a"), cyclic("a"))).toBe(true)
    expect(same(cyclic("a"), cyclic("b"))).toBe(false)
    const endless: { next?: unknown } = {}
    endless.next = endless
    expect(same(endless, { next: { next: {} } })).toBe(false)
  })

  it("C4: with many references to one object compare it only once", () => {
    const shared = (depth: number): object => {
      if (depth === 0) return { end: true }
      const inner = shared(depth - 1)
      return { left: inner, right: inner }
    }
    expect(same(shared(100), shared(100))).toBe(true)
    expect(same(shared(100), shared(99))).toBe(false)
  })

  it("C4: with hidden content are different", () => {
    expect(same(/a/, /b/)).toBe(false)
    expect(same(new Uint8Array([1]).buffer, new Uint8Array([2]).buffer)).toBe(false)
    expect(same(new Secret("a"), new Secret("b"))).toBe(false)
  })

  it("C4: that cannot be read are different", () => {
    expect(same(unreadable(), unreadable())).toBe(false)
    const unapproachable = new Proxy({}, {
      getPrototypeOf: () => {
        throw new Error("no")
      }
    })
    expect(same(unapproachable, {})).toBe(false)
  })
})
