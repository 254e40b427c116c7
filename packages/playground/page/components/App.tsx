import { isStatic, type Mode, mode, problem, replay, restart, scenario, session } from "../app.js"
import { EventLog, Messages } from "./Lists.js"
import { Attempts, Fleet } from "./Rates.js"
import { ScenarioPanel } from "./ScenarioPanel.js"
import { SettingsControls } from "./SettingsControls.js"
import { StateMachine } from "./StateMachine.js"
import { Timeline } from "./Timeline.js"
import { WorldControls } from "./WorldControls.js"

const modes: ReadonlyArray<{ readonly mode: Mode; readonly name: string }> = [
  ...isStatic ? [] : [{ mode: "real" as const, name: "Real WebSockets" }],
  { mode: 1, name: "Simulated" },
  { mode: 100, name: "Simulated, 100 ×" }
]

const choose = (chosen: Mode): void => {
  if (chosen === 100) replay(100)
  else void restart({ ...scenario.value, steps: [] }, chosen)
}

export const App = () => (
  <>
    <header class="page-header">
      <h1>
        persistent-connection <span>playground</span>
      </h1>
      <div class="group" role="group" aria-label="The server">
        {modes.map(({ mode: own, name }) => (
          <button
            key={name}
            type="button"
            aria-pressed={mode.value === own}
            onClick={() => choose(own)}
          >
            {name}
          </button>
        ))}
      </div>
    </header>
    {problem.value !== undefined && <p class="problem" role="alert">{problem.value}</p>}
    {session.value !== undefined && (
      <main>
        <div class="watch">
          <StateMachine />
          <Timeline />
          <Attempts />
          <Fleet />
          <div class="lists">
            <EventLog />
            <Messages />
          </div>
        </div>
        <div class="controls">
          <WorldControls />
          <ScenarioPanel />
          <SettingsControls />
        </div>
      </main>
    )}
  </>
)
