/** The policy, the health check and the number of clients. A change begins a new session. */
import { timesOf } from "../../src/live/policy.js"
import { jitters, policies, ranges, type Settings } from "../../src/live/scenario.js"
import { change, settings } from "../app.js"
import { Choice, NumberField, Section } from "./parts.js"

type NumberKey = keyof typeof ranges

const Field = ({ label, name, unit }: { readonly name: NumberKey; readonly label: string; readonly unit?: string }) => (
  <NumberField
    label={label}
    value={settings.value[name]}
    least={ranges[name][0]}
    most={ranges[name][1]}
    {...unit === undefined ? {} : { unit, scale: 1_000 }}
    onChange={(value) => change({ [name]: value })}
  />
)

const names: Record<Settings["policy"], string> = {
  production: "RetryPolicy.production",
  standard: "RetryPolicy.standard",
  exponential: "exponential",
  fixed: "fixed",
  immediate: "immediate"
}

const summaries: Record<Settings["policy"], string> = {
  production: "2, 4, 8, 16, 30 … s, each less up to 50 %; the first attempts after a loss spread over 5 s.",
  standard: "10 s ± 30 %, the default.",
  exponential: "Grows with each failure, up to the longest delay.",
  fixed: "The same delay each time.",
  immediate: "No delay at all. Only for this page."
}

export const SettingsControls = () => {
  const { healthCheck, policy } = settings.value
  const isFree = policy !== "production" && policy !== "standard"
  const { minUptime, reconnectJitter } = timesOf(settings.value)
  return (
    <Section title="The clients" name="settings">
      <Choice
        label="Policy"
        value={policy}
        values={policies}
        names={names}
        onChange={(policy) => change({ policy })}
      />
      <p class="note">{summaries[policy]}</p>
      {policy === "exponential" && (
        <>
          <Field name="base" label="First delay" unit="s" />
          <Field name="maxDelay" label="Longest delay" unit="s" />
          <Field name="factor" label="Factor" />
          <Choice
            label="Jitter"
            value={settings.value.jitter}
            values={jitters}
            onChange={(jitter) => change({ jitter })}
          />
        </>
      )}
      {policy === "fixed" && <Field name="delay" label="Delay" unit="s" />}
      {isFree
        ? (
          <>
            <Field name="minUptime" label="minUptime" unit="s" />
            <Field name="reconnectJitter" label="reconnectJitter" unit="s" />
          </>
        )
        : (
          <p class="note">
            minUptime {minUptime / 1_000} s, reconnectJitter {reconnectJitter / 1_000} s
          </p>
        )}
      <Field name="connectTimeout" label="Connect timeout" unit="s" />
      <label class="check">
        <input
          type="checkbox"
          checked={healthCheck}
          onChange={({ currentTarget }) => change({ healthCheck: currentTarget.checked })}
        />
        Health check
      </label>
      {healthCheck && (
        <>
          <Field name="interval" label="Interval" unit="s" />
          <Field name="timeout" label="Timeout" unit="s" />
          <Field name="missedProbes" label="Missed probes" />
        </>
      )}
      <Field name="clients" label="Clients" />
    </Section>
  )
}
