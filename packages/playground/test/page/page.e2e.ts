import type { Page } from "playwright-core"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { decode } from "../../src/live/scenarioText.js"
import { openSite, reasonToSkip, type Site } from "./browser.js"

const phaseIs = (page: Page, phase: string) =>
  page.waitForFunction((phase) => document.querySelector("[data-testid=phase]")?.textContent === phase, phase)

const textMatches = (page: Page, id: string, pattern: RegExp) =>
  page.waitForFunction(
    ([id, source]) => new RegExp(source!).test(document.querySelector(`[data-testid=${id}]`)?.textContent ?? ""),
    [id, pattern.source]
  )

const connectionIs = (page: Page, generation: number) =>
  page.waitForFunction(
    (generation) =>
      document.querySelector("[data-testid=phase]")?.textContent === "Connected" &&
      document.querySelector("[data-testid=countdown]")?.textContent?.startsWith(`connection ${generation},`),
    generation
  )

const press = (page: Page, action: string) => page.click(`[data-action=${action}]`)

const logHas = (page: Page, text: string) => page.waitForSelector(`.log li:has-text(${JSON.stringify(text)})`)

/** Delays that are long enough to be seen, and short enough for a test. */
const quick = "policy=fixed&delay=800&interval=400&timeout=400"

const suite = (kind: "live" | "static", tests: (site: () => Site) => void) =>
  describe(kind === "live" ? "the page with its server" : "the static page", () => {
    let site: Site | undefined
    beforeAll(async () => {
      if (reasonToSkip === undefined) site = await openSite(kind)
    })
    beforeEach((context) => {
      if (reasonToSkip !== undefined) context.skip(reasonToSkip)
    })
    afterEach(() => site?.closePages())
    afterAll(() => site?.close())
    tests(() => site!)
  })

suite("live", (site) => {
  it("connects, loses its server, counts down, and comes back", async () => {
    const { failures, page } = await site().open(quick)
    await connectionIs(page, 1)
    await press(page, "kill")
    await phaseIs(page, "Waiting")
    expect(await page.getAttribute("[data-state=Waiting]", "class")).toContain("lit")
    await textMatches(page, "countdown", /^next attempt in 0\.\d s$/)
    await logHas(page, "Connection 1 was lost")
    await logHas(page, "Attempt 1 failed")
    await press(page, "start")
    await connectionIs(page, 2)
    await page.waitForSelector("[data-testid=gap]")
    expect(failures).toEqual([])
  })

  it("shows a refusal, a server that hangs, and one that is slow", async () => {
    const { page } = await site().open(`${quick}&connectTimeout=500`)
    await connectionIs(page, 1)
    await press(page, "refuse")
    expect(await page.textContent("[data-testid=phase]")).toBe("Connected")
    await press(page, "silence")
    await logHas(page, "No answer from")
    await logHas(page, "could not be opened")
    await press(page, "hang")
    await logHas(page, "within 500ms")
    await press(page, "slow")
    await page.waitForSelector("[data-action=slow][aria-pressed=true]")
    await press(page, "slow")
    await press(page, "start")
    await connectionIs(page, 2)
  })

  it("drops new connections, and replaces a connection at an announcement", async () => {
    const { page } = await site().open(quick)
    await connectionIs(page, 1)
    await press(page, "announce")
    await connectionIs(page, 2)
    expect(await page.locator(".log li:has-text('was lost')").count()).toBe(0)
    await page.fill(".adjustable:has([data-action=drop]) input", "0.2")
    await page.press(".adjustable:has([data-action=drop]) input", "Tab")
    await press(page, "drop")
    await press(page, "kill")
    await press(page, "start")
    await connectionIs(page, 4)
  })

  it("goes offline and comes back, and closes", async () => {
    const { page } = await site().open(quick)
    await connectionIs(page, 1)
    await press(page, "offline")
    await logHas(page, "The network is down")
    await press(page, "online")
    await connectionIs(page, 2)
    await press(page, "close")
    await phaseIs(page, "Closed")
    await textMatches(page, "countdown", /^there will be no other connection$/)
  })

  it("shows the attempts of many clients, also of those in the process of the server", async () => {
    const { page } = await site().open(
      `${quick}&healthCheck=false&connectTimeout=20000&reconnectJitter=2000&clients=120`
    )
    await textMatches(page, "fleet", /^120 Connected$/)
    await press(page, "kill")
    await textMatches(page, "fleet", /Waiting/)
    await textMatches(page, "peak", /^Peak [1-9]\d*(\.\d)?\/s, ideal [1-9]\d*(\.\d)?\/s$/)
    await press(page, "start")
    await textMatches(page, "fleet", /^120 Connected$/)
  })

  it("records a scenario in its address, which plays it again", async () => {
    const { page } = await site().open(quick)
    await connectionIs(page, 1)
    await press(page, "kill")
    await phaseIs(page, "Waiting")
    await press(page, "start")
    await connectionIs(page, 2)
    await page.waitForFunction(() => location.hash.includes(":start"))
    const scenario = decode(new URL(page.url()).hash)
    expect(scenario.steps.map(({ action }) => action.tag)).toEqual(["kill", "start"])

    const { page: other } = await site().open(new URL(page.url()).hash.slice(1))
    await connectionIs(other, 2)
    expect(await other.locator(".steps .done").count()).toBe(2)

    await other.click("[data-testid=replay]")
    await other.waitForSelector("text=The replay has come to its end.")
    await textMatches(other, "generation", /^2$/)
  })

  it("changes the policy, and begins again", async () => {
    const { page } = await site().open("")
    await connectionIs(page, 1)
    await page.selectOption(".settings select", "exponential")
    await page.waitForSelector("text=First delay")
    expect(new URL(page.url()).hash).toContain("policy=exponential")
    await connectionIs(page, 1)
  })

  it("exports a test", async () => {
    const { page } = await site().open("do=1:silence&until=1000")
    await connectionIs(page, 1)
    await page.click("[data-testid=export]")
    const text = await page.textContent("[data-testid=exported]")
    expect(text).toContain("yield* whenOpen(server.fallSilent())")
    await page.keyboard.press("Escape")
    await page.waitForSelector("dialog", { state: "detached" })
  })
})

suite("static", (site) => {
  it("simulates the server in the page", async () => {
    const { failures, page } = await site().open("policy=fixed&delay=800&do=200:kill")
    await phaseIs(page, "Waiting")
    await press(page, "start")
    await connectionIs(page, 2)
    expect(await page.locator("text=Real WebSockets").count()).toBe(0)
    expect(failures).toEqual([])
  })

  it("can be used with the keyboard alone", async () => {
    const { page } = await site().open("policy=fixed&delay=60000")
    await connectionIs(page, 1)
    for (let presses = 0; presses < 30; presses++) {
      await page.keyboard.press("Tab")
      if (await page.evaluate(() => document.activeElement?.getAttribute("data-action")) === "kill") break
    }
    await page.keyboard.press("Enter")
    await phaseIs(page, "Waiting")
  })

  it("fits a phone of 360 px, light and dark, with reduced motion", async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      const { page } = await site().open("", {
        viewport: { width: 360, height: 740 },
        colorScheme,
        reducedMotion: "reduce"
      })
      await connectionIs(page, 1)
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360)
      const narrow = await page.locator("button, select, input[type=number]").evaluateAll((all) =>
        all.filter((control) => control.getBoundingClientRect().height < 38).length
      )
      expect(narrow).toBe(0)
      expect(await contrasts(page)).toEqual([])
    }
  })
})

/** The texts whose contrast to their background is below 4.5. */
const contrasts = (page: Page) =>
  page.evaluate(() => {
    const channel = (value: number) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
    const luminance = (colour: string) => {
      const [r = 0, g = 0, b = 0] = (colour.match(/[\d.]+/g) ?? []).map(Number)
      return 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255)
    }
    const backgroundOf = (element: Element | null): string => {
      if (element === null) return "rgb(255, 255, 255)"
      const colour = getComputedStyle(element).backgroundColor
      return colour === "rgba(0, 0, 0, 0)" ? backgroundOf(element.parentElement) : colour
    }
    return [...document.querySelectorAll("h1, h2, p, button, label span, dt, dd, time, li span, select")]
      .filter((element) => element.textContent?.trim() !== "")
      .map((element) => {
        const [a, b] = [luminance(getComputedStyle(element).color), luminance(backgroundOf(element))]
        return { text: element.textContent, ratio: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) }
      })
      .filter(({ ratio }) => ratio < 4.5)
  })
