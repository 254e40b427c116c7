import { printableCause, render, renderCause, summary } from "#internal/base/render.js"
import { hideSecrets } from "#internal/base/secrets.js"
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as FastCheck from "effect/FastCheck"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { inspect } from "node:util"

describe("the text of an address", () => {
  const cyclic: Record<string, unknown> = { host: "a" }
  cyclic["self"] = cyclic

  class Endpoint extends Data.Class<{ readonly host: string; readonly port: number }> {}

  const examples: ReadonlyArray<readonly [what: string, address: unknown, shown: string]> = [
    ["a name", "prices", "prices"],
    ["a host and a port", "feed.example.com:443", "feed.example.com:443"],
    ["user info without a scheme", "me:hush@feed.example.com:443", "feed.example.com:443"],
    ["a password with special characters", "me:hu@s?h#x@feed.example.com", "feed.example.com"],
    ["a query without a scheme", "feed.example.com/v1?token=hush", "feed.example.com/v1?token=<redacted>"],
    ["a path", "/run/feed@1.sock", "/run/feed@1.sock"],
    ["a Windows pipe", "\\\\.\\pipe\\feed", "\\\\.\\pipe\\feed"],
    ["a URL without secrets", "wss://feed.example.com/v1", "wss://feed.example.com/v1"],
    [
      "a URL with all parts",
      "wss://me:hush@feed.example.com:8443/v1?token=hush#hush",
      "wss://feed.example.com:8443/v1"
    ],
    ["a token as the user name", "https://hush@feed.example.com", "https://feed.example.com/"],
    ["an IPv6 address", "ws://me:hush@[::1]:80/", "ws://[::1]/"],
    [
      "several hosts",
      "mongodb://me:hush@a.example.com,b.example.com/db?authSource=hush",
      "mongodb://a.example.com,b.example.com/db"
    ],
    [
      "a password that is not URL-encoded",
      "postgres://me:hu/s?h#x@db.example.com/db",
      "postgres://db.example.com/db"
    ],
    [
      "a URL in a URL",
      "jdbc:postgresql://me:hush@db.example.com/db?password=hush",
      "jdbc:postgresql://db.example.com/db"
    ],
    ["a list of URLs", "amqp://me:hush@a, amqp://me:hush@b", "amqp://a, amqp://b"],
    ["a list of URLs without a space", "amqp://me:hush@a/,amqp://me:hush@b", "amqp://a/…"],
    ["a connection string", "host=db user=me password=hush", "host=db user=me password=<redacted>"],
    ["a connection string with semicolons", "Server=db;Pwd=hush;Encrypt=true", "Server=db;Pwd=<redacted>;Encrypt=true"],
    ["a URL object", new URL("wss://me:hush@feed.example.com/v1?token=hush"), "wss://feed.example.com/v1"],
    ["a URL object with a URL in it", new URL("blob:https://me:hush@a.example.com/1"), "blob:https://a.example.com/1"],
    ["a Redacted value", Redacted.make("hush"), "<redacted>"],
    ["an object", { host: "a", port: 1, tls: true }, "{\"host\":\"a\",\"port\":1,\"tls\":true}"],
    ["a host and a port in an object", { host: "a", port: 1 }, "a:1"],
    ["an IPv6 host and a port in an object", { host: "::1", port: 1 }, "[::1]:1"],
    ["a data class", new Endpoint({ host: "a", port: 1 }), "a:1"],
    ["a Redacted value in an object", { a: Redacted.make("hush") }, "{\"a\":\"<redacted>\"}"],
    ["a URL in an object", { url: "ws://a/?token=hush" }, "{\"url\":\"ws://a/\"}"],
    [
      "fields with secret names",
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
    ["bytes", new Uint8Array([104, 117]), "<2 bytes>"],
    ["a circular object", cyclic, "{\"host\":\"a\",\"self\":\"<circular>\"}"],
    ["an option", Option.some("ws://me:hush@a/"), "{\"_id\":\"Option\",\"_tag\":\"Some\",\"value\":\"ws://a/\"}"],
    ["an error", new Error("no ws://me:hush@a/"), "no ws://a/"],
    ["a function", () => "hush", "<function>"],
    ["nothing", undefined, "undefined"],
    ["null", null, "null"],
    ["a number", 5432, "5432"],
    ["a bigint", 1n, "1"],
    ["a symbol", Symbol("a"), "Symbol(a)"],
    ["a long text", "a".repeat(1_000), `${"a".repeat(499)}…`]
  ]

  for (const [what, address, shown] of examples) {
    it(`hides secrets: ${what}`, () => expect(render(address)).toBe(shown))
  }

  it("says so if the address cannot be read", () => {
    const throwing = {
      get host() {
        throw new Error("no")
      }
    }
    expect(render(throwing)).toBe("<unreadable>")
    expect(render({ toJSON: () => throwing })).toBe("<unreadable>")
    expect(render(new Proxy({}, { get: () => throwing.host, ownKeys: () => throwing.host as never }))).toBe(
      "<unreadable>"
    )
  })

  it("can be made for any value", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true }),
        (address) => {
          expect(typeof render(address)).toBe("string")
        }
      ),
      { numRuns: 1_000 }
    )
  })
})

describe("a secret is never shown", () => {
  const secret = "hush0hush"
  const word = FastCheck.stringMatching(/^[a-z][a-z0-9-]{0,8}$/)
  /** The secret, surrounded by characters that a URL does not encode. */
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

  it("in a URL, which still shows its host", () => {
    FastCheck.assert(
      FastCheck.property(urls, ({ host, url }) => {
        const all: ReadonlyArray<unknown> = [url, { url }, [url], ...URL.canParse(url) ? [new URL(url)] : []]
        for (const address of all) {
          expect(render(address)).not.toContain(secret)
          expect(render(address)).toContain(host)
        }
      }),
      { numRuns: 1_000 }
    )
  })

  it("in user info without a URL scheme", () => {
    FastCheck.assert(
      FastCheck.property(word, secrets, word, (user, password, host) => {
        const text = render(`cannot reach ${user}:${password}@${host}.example.com:80`)
        expect(text).not.toContain(secret)
        expect(text).toContain(`${host}.example.com:80`)
      })
    )
  })

  it("in an object, at any depth, if the name of the property looks like a secret", () => {
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
      expect(render(address)).not.toContain(secret)
    }))
  })

  it("in a text that quotes a URL", () => {
    FastCheck.assert(
      FastCheck.property(urls, FastCheck.constantFrom(" ", "\"", "'", "<"), ({ url }, quote) => {
        const text = hideSecrets(`GET ${quote}${url}${quote} failed`)
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
    "    at node:internal/process/task_queues:95:5",
    "mail me@example.com"
  ]

  for (const text of texts) {
    it(`without credentials is unchanged: ${text.trim()}`, () => expect(hideSecrets(text)).toBe(text))
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
    ["sent Set-Cookie: sid=hush; id=hush", "sent Set-Cookie: <redacted>"],
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
    it(`loses its credentials: ${shown}`, () => expect(hideSecrets(text)).toBe(shown))
  }

  it("is processed in time linear in its length", () => {
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
    for (const text of long) expect(typeof hideSecrets(text)).toBe("string")
  })
})

describe("the text of a cause", () => {
  class Silent extends Data.TaggedError("Silent") {}
  class Refused extends Data.TaggedError("Refused")<{ readonly status: number; readonly cause?: unknown }> {}

  const url = "wss://me:hush@feed.example.com/?token=hush"
  const refused = new Error("connect ECONNREFUSED 127.0.0.1:80")
  const circular = new Refused({ status: 1 })
  Object.assign(circular, { detail: [circular] })

  const failures: ReadonlyArray<readonly [what: string, error: unknown, shown: string]> = [
    ["its message", new Error("refused"), "refused"],
    ["its message, regardless of class and fields", Object.assign(new TypeError("no"), { code: 3 }), "no"],
    ["a message of several lines", new Error("no\n  at all\u001b[31m"), "no at all [31m"],
    ["a text", "refused", "refused"],
    ["a number", 3, "3"],
    ["nothing", undefined, "undefined"],
    ["the message of an object", { _tag: "Denied", message: "denied" }, "denied"],
    ["the tag and the fields", new Refused({ status: 401 }), "Refused {\"status\":401}"],
    ["the tag and the fields of an object", { _tag: "Refused", status: 401 }, "Refused {\"status\":401}"],
    ["the tag", new Silent(), "Silent"],
    ["the name", new RangeError(), "RangeError"],
    ["the fields", { reason: "closed" }, "{\"reason\":\"closed\"}"],
    ["a circular field", circular, "Refused {\"status\":1,\"detail\":[\"<circular>\"]}"],
    [
      "its cause",
      new Error("fetch failed", { cause: refused }),
      "fetch failed: connect ECONNREFUSED 127.0.0.1:80"
    ],
    [
      "the fields and the cause",
      new Refused({ status: 1, cause: new Error("why", { cause: refused }) }),
      "Refused {\"status\":1}: why: connect ECONNREFUSED 127.0.0.1:80"
    ],
    [
      "a cause that the message already quotes, only once",
      new Error("cannot open: connect ECONNREFUSED 127.0.0.1:80", { cause: refused }),
      "cannot open: connect ECONNREFUSED 127.0.0.1:80"
    ],
    [
      "all causes",
      new AggregateError([
        new Error("ECONNREFUSED ::1"),
        new Error("ECONNREFUSED 127.0.0.1"),
        new Error("ECONNREFUSED ::1")
      ]),
      "AggregateError: ECONNREFUSED ::1; ECONNREFUSED 127.0.0.1"
    ],
    [
      "an Effect Cause as its cause",
      new Error("no", { cause: Cause.parallel(Cause.fail("a"), Cause.die("b")) }),
      "no: a; b"
    ],
    [
      "an Effect Cause in a field",
      { _tag: "No", held: Cause.die(refused) },
      "No {\"held\":\"defect: connect ECONNREFUSED 127.0.0.1:80\"}"
    ],
    ["an empty Cause as its cause", new Error("no", { cause: Cause.empty }), "no"],
    [
      "a request without its headers",
      { _tag: "No", request: { url, headers: { a: "hush" } } },
      "No {\"request\":{\"url\":\"wss://feed.example.com/\"}}"
    ],
    ["a secret field", { _tag: "No", password: "hush" }, "No {\"password\":\"<redacted>\"}"],
    [
      "a secret in a text",
      new Error(`GET ${url} failed: password=hush`),
      "GET wss://feed.example.com/ failed: password=<redacted>"
    ],
    [
      "an error that throws when it is read",
      Object.defineProperty({}, "message", {
        get: () => {
          throw new Error("private")
        }
      }),
      "<unreadable>"
    ]
  ]

  for (const [what, error, shown] of failures) {
    it(`shows for an error: ${what}`, () => expect(renderCause(Cause.fail(error))).toBe(shown))
  }

  it("shows the kind of the cause: failure, defect, interruption or empty", () => {
    expect(renderCause(Cause.empty)).toBe("a close without an error")
    expect(renderCause(Cause.interrupt(FiberId.none))).toBe("an interruption")
    expect(renderCause(Cause.die(new Error("broken")))).toBe("defect: broken")
    expect(renderCause(Cause.parallel(Cause.die(new Error("broken")), Cause.fail(new Error("no"))))).toBe(
      "no; defect: broken"
    )
  })

  it("is shortened in messages", () => {
    const long = Cause.fail(new Error("x".repeat(10_000)))
    expect(renderCause(long)).toHaveLength(10_000)
    expect(summary(long)).toHaveLength(500)
  })
})

describe("a cause for loggers and tracers", () => {
  class LoginFailed extends Data.TaggedError("LoginFailed")<{
    readonly password: string
    readonly request: unknown
    readonly cause: unknown
  }> {
    override get message(): string {
      return "refused"
    }
  }
  const secret = "hunter2hunter2"
  const failure = new LoginFailed({
    password: secret,
    request: { headers: { Authorization: `Bearer ${secret}` } },
    cause: new AggregateError([new Error(`wss://bob:${secret}@a`), new Error(`wss://bob:${secret}@b`)], "all refused")
  })
  const cause = Cause.sequential(Cause.fail(failure), Cause.parallel(Cause.die(failure), Cause.interrupt(FiberId.none)))

  it("has the same structure; its errors have only the names and the texts", () => {
    const shown = printableCause(cause)
    const [error] = Cause.failures(shown)
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({ name: "LoginFailed", message: "refused: all refused: wss://a/; wss://b/" })
    expect(error!.stack).toBe("LoginFailed: refused: all refused: wss://a/; wss://b/")
    expect([...Cause.defects(shown)]).toEqual([error])
    expect(Cause.isInterrupted(shown)).toBe(true)
    expect(Cause.isEmpty(printableCause(Cause.empty))).toBe(true)
  })

  it("shows no secret, with any printer", () => {
    const shown = printableCause(cause)
    const printed = [
      Cause.pretty(shown, { renderErrorCause: true }),
      inspect(shown, { depth: 20, showHidden: true }),
      JSON.stringify(shown),
      String(shown)
    ]
    for (const text of printed) expect(text).not.toContain(secret)
    expect(printed[0]).toContain("LoginFailed: refused: all refused: wss://a/; wss://b/")
  })

  it("can be made of an unreadable error", () => {
    const unreadable = new Proxy(new Error("private"), {
      get: () => {
        throw new Error("private")
      }
    })
    expect(Cause.pretty(printableCause(Cause.fail(unreadable)))).toBe("Error: <unreadable>")
  })
})
