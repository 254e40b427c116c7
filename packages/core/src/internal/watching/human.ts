/**
 * A time in ms, for people to read: its one or two largest units.
 *
 * @internal
 */
export const duration = (millis: number): string => {
  if (millis < 1_000) return `${Math.round(millis)}ms`
  if (millis < 10_000) return `${Math.floor(millis / 100) / 10}s`
  const seconds = Math.floor(millis / 1_000)
  if (seconds < 60) return `${seconds}s`
  const [of, large, small] = units.find(([of]) => seconds >= of) ?? units[units.length - 1]!
  const rest = Math.floor((seconds % of) / small.of)
  return `${Math.floor(seconds / of)}${large}${rest === 0 ? "" : ` ${rest}${small.name}`}`
}

/**
 * How far off something is, in ms, for people to read.
 *
 * @internal
 */
export const fromNow = (millis: number): string =>
  millis === Infinity ? "never" : millis > 0 ? `in ${duration(millis)}` : "now"

const second = { of: 1, name: "s" }
const minute = { of: 60, name: "m" }
const hour = { of: 3_600, name: "h" }

const units = [
  [86_400, "d", hour],
  [hour.of, hour.name, minute],
  [minute.of, minute.name, second]
] as const
