import { describe, expect, it } from "vitest"
import { examples } from "../../src/live/examples.js"
import { decode } from "../../src/live/scenarioText.js"
import { simulate } from "../../src/live/simulate.js"

describe("a simulated scenario", () => {
  it("is the same each time", () => {
    for (const { text } of examples.filter(({ text }) => !text.includes("clients"))) {
      expect(simulate(decode(text))).toEqual(simulate(decode(text)))
    }
  })

  it("follows a server that is killed and started", () => {
    const outcome = simulate(decode("policy=fixed&delay=1000&healthCheck=false&do=2000:kill,3500:start&until=5000"))
    expect(outcome).toEqual({
      events: [
        "0 ms  Connecting (connection 1)",
        "0 ms  Attempt 1 has obtained an address",
        "10 ms  Connected (connection 1)",
        "2000 ms  Connection 1 was lost: The server was killed",
        "2000 ms  Connecting (connection 2)",
        "2000 ms  Attempt 1 has obtained an address",
        "2010 ms  Attempt 1 failed: The connection was refused",
        "4010 ms  Connected (connection 2)"
      ],
      phase: "Connected",
      generation: 2,
      attempts: [0, 2_000, 3_000, 4_000]
    })
  })

  it("notices a silent connection only with a health check", () => {
    expect(simulate(decode("do=1000:silence&until=30000")).generation).toBe(2)
    expect(simulate(decode("healthCheck=false&do=1000:silence&until=30000")).generation).toBe(1)
  })

  it("probes when the network is back", () => {
    const outcome = simulate(decode("policy=fixed&delay=500&interval=60000&do=1000:offline,4000:online&until=9000"))
    expect(outcome.events.join("\n")).toContain("7000 ms  Connection 1 was lost: No answer")
    expect(outcome).toMatchObject({ phase: "Connected", generation: 2 })
  })

  it("replaces a connection whose server announces a restart, without a loss", () => {
    const outcome = simulate(decode("healthCheck=false&do=5000:announce&until=9000"))
    expect(outcome).toMatchObject({ phase: "Connected", generation: 2, attempts: [0, 5_000] })
    expect(outcome.events.join("\n")).not.toContain("lost")
  })

  it("hits the deadline of a server that hangs, waits for a slow one, and loses dropped connections", () => {
    const hang = simulate(decode("policy=fixed&delay=1000&connectTimeout=2000&do=500:hang,500:silence&until=20000"))
    expect(hang.events.join("\n")).toContain("No connection to \"client 1\" within 2s")
    const slow = simulate(decode("policy=fixed&delay=1000&do=0:slow:700,500:kill,500:start&until=3000"))
    expect(slow.events.at(-1)).toBe("1710 ms  Connected (connection 2)")
    const drop = simulate(decode("policy=fixed&delay=1000&minUptime=0&do=100:drop:300,100:kill,100:start&until=3000"))
    expect(drop.attempts).toEqual([0, 1_000, 2_000, 3_000])
  })

  it("ends when the owner closes", () => {
    expect(simulate(decode("do=2000:close&until=3000"))).toMatchObject({ phase: "Closed", generation: 1 })
  })

  it("gives each client its own delays", () => {
    const { attempts } = simulate(decode("clients=20&healthCheck=false&do=10000:kill,10000:start&until=20000"))
    expect(attempts).toHaveLength(40)
    expect(new Set(attempts.slice(20)).size).toBe(20)
    for (const at of attempts.slice(20)) expect(at).toBeLessThanOrEqual(15_000)
  })
})
