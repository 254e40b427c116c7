/**
 * A scenario as the fragment of a URL, such as `policy=fixed&delay=1000&do=2000:kill,6000:start&until=20000`. Settings
 * with their default are left out.
 */
import {
  type Action,
  actionTags,
  defaults,
  jitters,
  policies,
  ranges,
  type Scenario,
  type Settings
} from "./scenario.js"

type NumberKey = keyof typeof ranges

const numberKeys = Object.keys(ranges) as ReadonlyArray<NumberKey>

export const encode = ({ settings, steps, until }: Scenario): string => {
  const parts = Object.entries(settings)
    .filter(([key, value]) => value !== defaults[key as keyof Settings])
    .map(([key, value]) => `${key}=${value}`)
  if (steps.length > 0) parts.push(`do=${steps.map(({ action, at }) => `${at}:${encodeAction(action)}`).join(",")}`)
  return [...parts, `until=${until}`].join("&")
}

const encodeAction = ({ tag, value }: Action): string => value === undefined ? tag : `${tag}:${value}`

/** Reads the text of a URL. Whatever is not understood gets its default, so no text is an error. */
export const decode = (text: string): Scenario => {
  const fields = new URLSearchParams(text.replace(/^#/, ""))
  const steps = (fields.get("do") ?? "").split(",").flatMap(decodeStep).sort((a, b) => a.at - b.at)
  const last = steps.at(-1)?.at ?? 0
  const until = wholeNumber(fields.get("until"), 0, longest) ?? last + 15_000
  return { settings: decodeSettings(fields), steps, until: Math.max(until, last) }
}

const longest = 3_600_000

const mostSteps = 200

const decodeStep = (text: string, index: number): Array<{ at: number; action: Action }> => {
  const [time, name, value] = text.split(":")
  const at = wholeNumber(time ?? null, 0, longest)
  const tag = actionTags.find((tag) => tag === name)
  if (at === undefined || tag === undefined || index >= mostSteps) return []
  if (tag !== "slow" && tag !== "drop") return [{ at, action: { tag } }]
  return [{ at, action: { tag, value: wholeNumber(value ?? null, 0, 60_000) ?? 0 } }]
}

const wholeNumber = (text: string | null, least: number, most: number): number | undefined => {
  if (text === null || !/^\d+$/.test(text)) return undefined
  const number = Number(text)
  return number >= least && number <= most ? number : undefined
}

const decodeSettings = (fields: URLSearchParams): Settings => {
  const numbers = Object.fromEntries(
    numberKeys.map((key) => {
      const [least, most] = ranges[key]
      return [key, wholeNumber(fields.get(key), least, most) ?? defaults[key]]
    })
  ) as Record<NumberKey, number>
  return sound({
    ...defaults,
    ...numbers,
    policy: policies.find((policy) => policy === fields.get("policy")) ?? defaults.policy,
    jitter: jitters.find((jitter) => jitter === fields.get("jitter")) ?? defaults.jitter,
    healthCheck: fields.get("healthCheck") !== "false"
  })
}

/** Settings that the library accepts: the longest delay is not below the first one. */
export const sound = (settings: Settings): Settings => ({
  ...settings,
  maxDelay: Math.max(settings.base, settings.maxDelay)
})
