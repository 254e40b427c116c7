/** The state of the page, and what its buttons do. */
import { batch, computed, signal } from "@preact/signals"
import * as Effect from "effect/Effect"
import type { Action, Scenario, Settings, Step } from "../src/live/scenario.js"
import { decode, encode, sound } from "../src/live/scenarioText.js"
import * as SimulatedServer from "../src/live/simulatedServer.js"
import { openWorld, type RealServer } from "./control.js"
import { Session } from "./session.js"
import { realTime, virtualTime } from "./time.js"

declare const IS_STATIC: boolean

/** The real server, or a simulated one at this speed. */
export type Mode = "real" | 1 | 100

export const isStatic = IS_STATIC

export const mode = signal<Mode>(isStatic ? 1 : "real")
export const session = signal<Session | undefined>(undefined)
export const problem = signal<string | undefined>(undefined)
/** The time that the drawings show, in ms of the clock of the session. */
export const now = signal(0)
/** Changes when the session has changed. */
export const version = signal(0)
export const isPaused = signal(false)
/** True when a replay has come to its end. */
export const isOver = signal(false)

const scenarioOf = (settings: Settings, steps: ReadonlyArray<Step>, until: number): Scenario => ({
  settings,
  steps,
  until: Math.max(until, steps.at(-1)?.at ?? 0)
})

const loaded = signal(decode(location.hash))

/** The scenario so far: what has happened, and what the session is still to play. */
export const scenario = computed((): Scenario => {
  void version.value
  const current = session.value
  if (current === undefined) return loaded.value
  const { settings, steps: planned, until } = current.scenario
  const ahead = planned.slice(current.steps.length)
  return current.steps.length <= planned.length
    ? scenarioOf(settings, [...current.steps, ...ahead], until)
    : scenarioOf(settings, current.steps, current.steps.at(-1)!.at + tail)
})

/** What a scenario that was made by hand shows after its last step, in ms. */
const tail = 15_000

export const settings = computed(() => session.value?.settings ?? loaded.value.settings)

let generation = 0
let server: RealServer | undefined

/** Begins again, with this scenario. */
export const restart = async (next: Scenario, at: Mode = mode.value): Promise<void> => {
  const mine = ++generation
  session.value?.stop()
  server?.close()
  server = undefined
  batch(() => {
    loaded.value = next
    mode.value = at
    problem.value = undefined
    isPaused.value = false
    isOver.value = false
  })
  try {
    if (at === "real") {
      const opened = await openWorld(() => {
        if (mine === generation) problem.value = "The server of the playground has ended. Start it again, and reload."
      })
      if (mine !== generation) return opened.close()
      server = opened
      show(new Session(realTime, next).run(Effect.succeed(opened), opened))
    } else {
      show(new Session(virtualTime(at), next).run(SimulatedServer.make))
    }
  } catch (error) {
    if (mine === generation) problem.value = error instanceof Error ? error.message : String(error)
  }
}

const show = (next: Session): void =>
  batch(() => {
    session.value = next
    now.value = next.time.now()
  })

/** Changes the settings, and begins again without steps. */
export const change = (changes: Partial<Settings>): void => {
  void restart({ settings: sound({ ...settings.value, ...changes }), steps: [], until: tail })
}

export const act = (action: Action): void => session.value?.act(action)

/** Plays the scenario from its beginning. */
export const replay = (at: Mode): void => {
  void restart({ ...scenario.value, steps: scenario.value.steps }, at)
}

let lastSummary = 0
let lastDrawing = 0

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)")

/** Lets time pass in the session, and draws it: at every frame, or with reduced motion twice a second. */
export const frame = (passed: number, at: number): void => {
  const current = session.value
  if (current === undefined) return
  if (mode.value !== "real" && !isOver.value && !isPaused.value) {
    current.time.pass(Math.min(passed, 100))
    isOver.value = mode.value === 100 && current.elapsed >= current.scenario.until
  }
  if (at - lastSummary > 250) {
    current.refresh()
    lastSummary = at
    version.value = ++current.version
  }
  if (isPaused.value || at - lastDrawing < (reducedMotion.matches ? 500 : 0)) return
  lastDrawing = at
  batch(() => {
    now.value = current.time.now()
    version.value = current.version
  })
}

/** Keeps the address of the page up to date, so that it can be shared at any time. */
export const share = (text: string): void => history.replaceState(null, "", `#${text}`)

export const load = (): void => {
  if (location.hash.slice(1) !== encode(scenario.value)) void restart(decode(location.hash))
}
