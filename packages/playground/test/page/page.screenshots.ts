/** Writes the pictures of the README. */
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, it } from "vitest"
import { openSite, reasonToSkip, type Site } from "./browser.js"

/** An outage of 200 clients. */
const scenario =
  "policy=exponential&jitter=equal&maxDelay=8000&reconnectJitter=2000&clients=200&do=2500:kill,6500:start&until=20000"

let site: Site

beforeAll(async () => {
  if (reasonToSkip !== undefined) throw new Error(reasonToSkip)
  site = await openSite("static")
})
afterAll(() => site.close())

it.each(["light", "dark"] as const)("takes a picture of the %s page", async (colorScheme) => {
  const { page } = await site.open(scenario, { colorScheme, viewport: { width: 1240, height: 900 } })
  await page.waitForFunction(
    () =>
      document.querySelectorAll(".steps .done").length === 2 &&
      document.querySelector("[data-testid=phase]")?.textContent === "Waiting",
    undefined,
    { polling: "raf" }
  )
  await page.getByRole("button", { name: "Pause" }).click()
  const path = fileURLToPath(new URL(`../../../../docs/images/playground-${colorScheme}.png`, import.meta.url))
  await page.screenshot({ path })
})
