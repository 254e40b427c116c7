/** The scenario: examples, its steps, playing it again, sharing and exporting it. */
import { signal } from "@preact/signals"
import { examples } from "../../src/live/examples.js"
import { exportTest } from "../../src/live/exportTest.js"
import { describeAction } from "../../src/live/scenario.js"
import { decode } from "../../src/live/scenarioText.js"
import { isOver, isStatic, mode, replay, restart, scenario, session } from "../app.js"
import { Section } from "./parts.js"

const exported = signal<string | undefined>(undefined)
const notice = signal("")

const copy = async (text: string, what: string): Promise<void> => {
  try {
    await navigator.clipboard.writeText(text)
    notice.value = `${what} copied`
  } catch {
    notice.value = `${what} could not be copied: the browser forbids it`
  }
}

export const ScenarioPanel = () => {
  const { steps } = scenario.value
  const done = session.value?.steps.length ?? 0
  return (
    <Section title="Scenario" name="scenario">
      <label class="field">
        <span>Example</span>
        <select
          value=""
          onChange={({ currentTarget }) => {
            const example = examples.find(({ name }) => name === currentTarget.value)
            currentTarget.value = ""
            if (example !== undefined) void restart(decode(example.text))
          }}
        >
          <option value="">Choose …</option>
          {examples.map(({ name }) => <option key={name} value={name}>{name}</option>)}
        </select>
      </label>
      {steps.length === 0
        ? <p class="note">Whatever you do to the world becomes a step of the scenario.</p>
        : (
          <ol class="steps">
            {steps.map(({ action, at }, index) => (
              <li key={index} class={index < done ? "done" : "ahead"}>
                <time>{(at / 1_000).toFixed(1)} s</time>
                <span>{describeAction(action)}</span>
              </li>
            ))}
          </ol>
        )}
      <div class="group" role="group" aria-label="Play the scenario">
        <button type="button" onClick={() => replay(isStatic || mode.value !== "real" ? 1 : "real")}>Play again</button>
        <button type="button" data-testid="replay" onClick={() => replay(100)}>Replay at 100 ×</button>
      </div>
      <div class="group" role="group" aria-label="Share the scenario">
        <button type="button" onClick={() => void copy(location.href, "Link")}>Copy link</button>
        <button type="button" data-testid="export" onClick={() => exported.value = exportTest(scenario.value)}>
          Export test
        </button>
      </div>
      <p class="note" role="status">
        {isOver.value ? "The replay has come to its end. " : ""}
        {notice.value}
      </p>
      {exported.value !== undefined && <Exported text={exported.value} />}
    </Section>
  )
}

const Exported = ({ text }: { readonly text: string }) => (
  <dialog
    class="exported"
    aria-labelledby="exported-title"
    ref={(dialog: HTMLDialogElement | null) => {
      if (dialog !== null && !dialog.open) dialog.showModal()
    }}
    onClose={() => exported.value = undefined}
  >
    <header class="section-header">
      <h2 id="exported-title">A test under TestClock</h2>
      <div class="aside">
        <button type="button" onClick={() => void copy(text, "Test")}>Copy</button>
        <button type="button" onClick={() => exported.value = undefined}>Close</button>
      </div>
    </header>
    <pre tabIndex={0}><code data-testid="exported">{text}</code></pre>
  </dialog>
)
