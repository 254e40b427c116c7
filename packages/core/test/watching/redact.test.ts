import { endpoint, redact, redactCause } from "#internal/base/redact.js"
import { redactText } from "#internal/base/redactText.js"
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

describe("an address is shown", () => {
  const cyclic: Record<string, unknown> = { host: "a" }
  cyclic["self"] = cyclic

  class Endpoint extends Data.Class<{ readonly host: string; readonly port: number }> {}

  const examples: ReadonlyArray<readonly [what: string, address: unknown, shown: string]> = [
    ["a name", "prices", "prices"],
    ["a host and a port", "feed.example.com:443", "feed.example.com:443"],
    ["a user without a scheme", "me:hush@feed.example.com:443", "feed.example.com:443"],
    ["a password with everything in it", "me:hu@s?h#x@feed.example.com", "feed.example.com"],
    ["a query without a scheme", "feed.example.com/v1?token=hush", "feed.example.com/v1"],
    ["a path", "/run/feed@1.sock", "/run/feed@1.sock"],
    ["a Windows pipe", "\\\\.\\pipe\\feed", "\\\\.\\pipe\\feed"],
    ["a URL as it is", "wss://feed.example.com/v1", "wss://feed.example.com/v1"],
    [
      "a URL with everything",
      "wss://me:hush@feed.example.com:8443/v1?token=hush#hush",
      "wss://feed.example.com:8443/v1"
    ],
    ["a token for a user", "https://hush@feed.example.com", "https://feed.example.com/"],
    ["an IPv6 address", "ws://me:hush@[::1]:80/", "ws://[::1]/"],
    [
      "many hosts",
      "mongodb://me:hush@a.example.com,b.example.com/db?authSource=hush",
      "mongodb://a.example.com,b.example.com/db"
    ],
    [
      "a password that should have been encoded",
      "postgres://me:hu/s?h#x@db.example.com/db",
      "postgres://db.example.com/db"
    ],
    [
      "a URL in a URL",
      "jdbc:postgresql://me:hush@db.example.com/db?password=hush",
      "jdbc:postgresql://db.example.com/db"
    ],
    ["a list of URLs", "amqp://me:hush@a, amqp://me:hush@b", "amqp://a, amqp://b"],
    ["a list of URLs without a space", "amqp://me:hush@a/,amqp://me:hush@b", "amqp://a/,amqp://b"],
    ["a connection string", "host=db user=me password=hush", "host=db user=me password=<redacted>"],
    ["another one", "Server=db;Pwd=hush;Encrypt=true", "Server=db;Pwd=<redacted>;Encrypt=true"],
    ["a URL object", new URL("wss://me:hush@feed.example.com/v1?token=hush"), "wss://feed.example.com/v1"],
    ["a URL object with a URL in it", new URL("blob:https://me:hush@a.example.com/1"), "blob:https://a.example.com/1"],
    ["something redacted", Redacted.make("hush"), "<redacted>"],
    ["an object", { host: "a", port: 1, tls: true }, "{\"host\":\"a\",\"port\":1,\"tls\":true}"],
    ["a host and a port in an object", { host: "a", port: 1 }, "a:1"],
    ["an IPv6 host and a port in an object", { host: "::1", port: 1 }, "[::1]:1"],
    ["a data class", new Endpoint({ host: "a", port: 1 }), "a:1"],
    ["something redacted in an object", { a: Redacted.make("hush") }, "{\"a\":\"<redacted>\"}"],
    ["a URL in an object", { url: "ws://a/?token=hush" }, "{\"url\":\"ws://a/\"}"],
    [
      "secrets by their names",
      {
        password: "hush",
        accessToken: "hush",
        client_secret: { a: "hush" },
        headers: { Authorization: "hush", "X-Api-Key": "hush", Host: "a" },
        passphrase: "hush",
        pass: "hush",
        db_pass: "hush",
        sessionId: "hush",
        key: "hush",
        monkey: "b",
        bypass: true
      },
      "{\"password\":\"<redacted>\",\"accessToken\":\"<redacted>\",\"client_secret\":\"<redacted>\"," +
      "\"headers\":{\"Authorization\":\"<redacted>\",\"X-Api-Key\":\"<redacted>\",\"Host\":\"a\"}," +
      "\"passphrase\":\"<redacted>\",\"pass\":\"<redacted>\",\"db_pass\":\"<redacted>\",\"sessionId\":\"<redacted>\"," +
      "\"key\":\"<redacted>\",\"monkey\":\"b\",\"bypass\":true}"
    ],
    [
      "subprotocols",
      { url: "ws://a/", protocols: ["v1", "hush"] },
      "{\"url\":\"ws://a/\",\"protocols\":\"<redacted>\"}"
    ],
    [
      "headers in pairs",
      [["authorization", "hush"], ["host", "a"]],
      "[[\"authorization\",\"<redacted>\"],[\"host\",\"a\"]]"
    ],
    ["a map", new Map([["token", "hush"], ["host", "a"]]), "[[\"token\",\"<redacted>\"],[\"host\",\"a\"]]"],
    ["a JSON Web Token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.hushhush", "<redacted>"],
    ["a private key", "-----BEGIN PRIVATE KEY-----\nhush", "<redacted>"],
    ["bytes", new Uint8Array([104, 117]), "<2 bytes>"],
    ["a cycle", cyclic, "{\"host\":\"a\",\"self\":\"<circular>\"}"],
    ["an option", Option.some("ws://me:hush@a/"), "{\"_id\":\"Option\",\"_tag\":\"Some\",\"value\":\"ws://a/\"}"],
    ["an error", new Error("no ws://me:hush@a/"), "Error: no ws://a/"],
    ["a function", () => "hush", "<function>"],
    ["nothing", undefined, "undefined"],
    ["null", null, "null"],
    ["a number", 5432, "5432"],
    ["a bigint", 1n, "1"],
    ["a symbol", Symbol("a"), "Symbol(a)"],
    ["something long", "a".repeat(1_000), `${"a".repeat(300)}…`]
  ]

  for (const [what, address, shown] of examples) {
    it(`without its secrets: ${what}`, () => expect(redact(address)).toBe(shown))
  }

  it("if it cannot be read, as that", () => {
    const throwing = {
      get host() {
        throw new Error("no")
      }
    }
    expect(redact(throwing)).toBe("<unreadable>")
    expect(redact({ toJSON: () => throwing })).toBe("<unreadable>")
    expect(redact(new Proxy({}, { get: () => throwing.host, ownKeys: () => throwing.host as never }))).toBe(
      "<unreadable>"
    )
  })

  it("whatever it is", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true }),
        (address) => {
          expect(typeof redact(address)).toBe("string")
          expect(typeof endpoint(address)).toBe("object")
        }
      ),
      { numRuns: 1_000 }
    )
  })
})

describe("a secret is never shown", () => {
  const secret = "hush0hush"
  const word = FastCheck.stringMatching(/^[a-z][a-z0-9-]{0,8}$/)
  /** The secret among all that a URL lets stand as it is. */
  const secrets = FastCheck.tuple(
    FastCheck.stringMatching(/^[\w.~!$&'()*+,;=:%-]{0,6}$/),
    FastCheck.stringMatching(/^[\w.~!$&'()*+,;=:%-]{0,6}$/)
  ).map(([before, after]) => `${before}${secret}${after}`.replaceAll("%", "%25"))
  const part = (prefix: string) => FastCheck.option(secrets.map((secret) => `${prefix}${secret}`), { nil: "" })
  const urls = FastCheck.record({
    scheme: FastCheck.constantFrom("ws", "wss", "https", "tcp", "postgres", "amqps", "redis+tls", "mongodb"),
    user: FastCheck.option(
      FastCheck.tuple(FastCheck.oneof(word, secrets), part(":")).map(([user, password]) => `${user}${password}@`),
      { nil: "" }
    ),
    host: FastCheck.array(word, { minLength: 1, maxLength: 3 }).map((words) => `x${words.join(".")}.example.com`),
    port: FastCheck.constantFrom("", ":80", ":5432"),
    path: FastCheck.constantFrom("", "/", "/v1/feed"),
    query: part("?token="),
    fragment: part("#")
  }).map(({ fragment, host, path, port, query, scheme, user }) => ({
    url: `${scheme}://${user}${host}${port}${path}${query}${fragment}`,
    host
  }))

  it("of a URL, which still shows its host", () => {
    FastCheck.assert(
      FastCheck.property(urls, ({ host, url }) => {
        const all: ReadonlyArray<unknown> = [url, { url }, [url], ...URL.canParse(url) ? [new URL(url)] : []]
        for (const address of all) {
          expect(redact(address)).not.toContain(secret)
          expect(redact(address)).toContain(host)
        }
        expect(endpoint(url).host ?? host).toBe(host)
      }),
      { numRuns: 1_000 }
    )
  })

  it("of a URL without its scheme", () => {
    FastCheck.assert(
      FastCheck.property(urls, ({ url }) => {
        expect(redact(url.replace(/^.*?:\/\//, ""))).not.toContain(secret)
      }),
      { numRuns: 1_000 }
    )
  })

  it("of an object, by the name of a property at any depth", () => {
    const names = FastCheck.constantFrom(
      "password",
      "Authorization",
      "api_key",
      "refreshToken",
      "clientSecret",
      "cookie"
    )
    const nested = FastCheck.tuple(names, FastCheck.array(word, { maxLength: 4 })).map(([name, path]) =>
      path.reduceRight<unknown>((inner, key) => ({ host: "a", [key]: inner }), {
        [name]: [secret, { [secret]: secret }]
      })
    )
    FastCheck.assert(FastCheck.property(nested, (address) => {
      expect(redact(address)).not.toContain(secret)
    }))
  })

  it("of a text that quotes a URL", () => {
    FastCheck.assert(
      FastCheck.property(urls, FastCheck.constantFrom(" ", "\"", "'", "<"), ({ url }, quote) => {
        const text = redactText(`GET ${quote}${url}${quote} failed`)
        expect(text).not.toContain(secret)
        expect(text.startsWith("GET ") && text.endsWith("failed")).toBe(true)
      }),
      { numRuns: 1_000 }
    )
  })
})

describe("a text", () => {
  const texts = [
    "connect ECONNREFUSED 127.0.0.1:80",
    "Unexpected token: end of input",
    "invalid token: it has expired",
    "Basic authentication is required",
    "authorization is required",
    "the password is wrong",
    "bypass=1",
    "getaddrinfo ENOTFOUND feed.example.com (see https://example.com/help)",
    "    at connect (file:///app/node_modules/effect@3.22.4/dist/esm/Effect.js?v=1:10:5)",
    "    at node:internal/process/task_queues:95:5",
    "mail me@example.com"
  ]

  for (const text of texts) {
    it(`without credentials stays as it is: ${text.trim()}`, () => expect(redactText(text)).toBe(text))
  }

  const secrets: ReadonlyArray<readonly [text: string, shown: string]> = [
    ["no route to me:hush@feed.example.com:80", "no route to feed.example.com:80"],
    ["401 with Authorization: Bearer hush.hush-hush", "401 with Authorization: <redacted>"],
    ["401 with Authorization: ApiKey hush\nHost: a", "401 with Authorization: <redacted>\nHost: a"],
    ["Authorization: Digest username=\"me\", response=\"hush\"", "Authorization: <redacted>"],
    ["sent { authorization: 'Basic aHVzaA==' }", "sent { authorization: <redacted> }"],
    ["sent {\"authorization\":\"ApiKey hush\"}", "sent {\"authorization\":<redacted>}"],
    ["401 with Bearer hush.hush-hush", "401 with Bearer <redacted>"],
    ["sent Authorization: hush", "sent Authorization: <redacted>"],
    ["user=me pass=hush", "user=me pass=<redacted>"],
    ["DB_PASS=hush", "DB_PASS=<redacted>"],
    ["sessionId=hush", "sessionId=<redacted>"],
    ["password: hush", "password: <redacted>"],
    ["{ user: 'me', password: 'hush' }", "{ user: 'me', password: <redacted> }"],
    ["{ token: 'hush' }", "{ token: <redacted> }"],
    ["{ pass: \"hush hush\" }", "{ pass: <redacted> }"],
    ["sent {\"token\":\"hush\",\"a\":1}", "sent {\"token\":<redacted>,\"a\":1}"],
    ["?api_key=hush&x=1", "?api_key=<redacted>&x=1"]
  ]

  for (const [text, shown] of secrets) {
    it(`loses its credentials: ${shown}`, () => expect(redactText(text)).toBe(shown))
  }

  it("takes no longer than it is long", () => {
    const long = [
      "a".repeat(100_000),
      "a:".repeat(50_000),
      "a://".repeat(25_000),
      "password".repeat(12_500),
      "pass_".repeat(20_000),
      "token ".repeat(16_000),
      `pass${" ".repeat(100_000)}`,
      "authorization: ".repeat(7_000),
      "eyJ".repeat(33_000),
      "bearer ".repeat(14_000)
    ]
    for (const text of long) expect(typeof redactText(text)).toBe("string")
  })
})

describe("a cause", () => {
  it("without credentials keeps its errors", () => {
    const error = new Error("no")
    const cause = Cause.parallel(Cause.fail(error), Cause.sequential(Cause.die(error), Cause.empty))
    expect(redactCause(cause)).toEqual(cause)
    expect(Option.getOrThrow(Cause.failureOption(redactCause(cause)))).toBe(error)
  })

  it("loses them wherever they are quoted", () => {
    class Refused extends Data.TaggedError("Refused")<{ readonly url: string; readonly cause: unknown }> {
      override get message(): string {
        return `cannot reach ${this.url}`
      }
    }
    const url = "wss://me:hush@feed.example.com/?token=hush"
    const cause = Cause.fail(new Refused({ url, cause: new Error(`no ${url}`) }))
    const pretty = Cause.pretty(redactCause(cause), { renderErrorCause: true })
    expect(pretty).not.toContain("hush")
    expect(pretty).toContain("Refused: cannot reach wss://feed.example.com/")
    expect(pretty).toContain("no wss://feed.example.com/")
    expect(JSON.stringify(redactCause(cause))).not.toContain("hush")
    expect(Cause.pretty(redactCause(Cause.die(`no ${url}`)))).toContain("no wss://feed.example.com/")
    expect(Cause.pretty(redactCause(Cause.fail({ url })))).not.toContain("hush")
  })
})

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
    it(`is ${JSON.stringify(expected)}: ${redact(address)}`, () => expect(endpoint(address)).toEqual(expected))
  }
})
