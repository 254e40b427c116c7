/** The buttons that disturb the world. */
import { signal } from "@preact/signals"
import type { ComponentChildren } from "preact"
import type { Action } from "../../src/live/scenario.js"
import { act, session, version } from "../app.js"
import { NumberField, Section } from "./parts.js"

const Act = (
  { action, children, hint, isOn }: {
    readonly action: Action
    readonly hint: string
    readonly isOn?: boolean
    readonly children: ComponentChildren
  }
) => (
  <button type="button" title={hint} aria-pressed={isOn} data-action={action.tag} onClick={() => act(action)}>
    {children}
  </button>
)

const latency = signal(800)
const dropAfter = signal(4_000)

export const WorldControls = () => {
  void version.value
  const world = session.value?.world
  if (world === undefined) return null
  return (
    <Section title="The world" name="world">
      <div class="group" role="group" aria-label="The server">
        <Act action={{ tag: "start" }} isOn={world.server === "up"} hint="Accept connections">Start</Act>
        <Act action={{ tag: "kill" }} isOn={world.server === "down"} hint="Break all connections, and refuse new ones">
          Kill
        </Act>
        <Act
          action={{ tag: "refuse" }}
          isOn={world.server === "refusing"}
          hint="Refuse new connections; open ones stay"
        >
          Refuse
        </Act>
        <Act action={{ tag: "hang" }} isOn={world.server === "hanging"} hint="Accept new connections, and never answer">
          Hang
        </Act>
      </div>
      <div class="group" role="group" aria-label="The open connections">
        <Act action={{ tag: "silence" }} hint="Nothing passes on the open connections; no side notices">Black-hole</Act>
        <Act action={{ tag: "announce" }} hint="The server announces a restart: make before break">
          Announce restart
        </Act>
      </div>
      <div class="group" role="group" aria-label="The clients">
        <Act
          action={{ tag: world.online ? "offline" : "online" }}
          isOn={!world.online}
          hint="The network of the clients goes, or comes back"
        >
          {world.online ? "Go offline" : "Go online"}
        </Act>
        <Act action={{ tag: "close" }} hint="The owner closes the persistent connection, for good">Close</Act>
      </div>
      <Adjustable
        tag="slow"
        name="Slow down"
        label="by"
        value={world.latency}
        next={latency}
        hint="Everything from the server takes longer"
      />
      <Adjustable
        tag="drop"
        name="Drop new ones"
        label="after"
        value={world.dropAfter}
        next={dropAfter}
        hint="Each new connection breaks after this time"
      />
    </Section>
  )
}

const Adjustable = ({ hint, label, name, next, tag, value }: {
  readonly tag: "slow" | "drop"
  readonly name: string
  readonly label: string
  readonly hint: string
  readonly value: number
  readonly next: { value: number }
}) => (
  <div class="adjustable">
    <Act action={{ tag, value: value > 0 ? 0 : next.value }} isOn={value > 0} hint={hint}>{name}</Act>
    <NumberField
      label={label}
      unit="s"
      scale={1_000}
      least={100}
      most={60_000}
      value={next.value}
      onChange={(chosen) => {
        next.value = chosen
        if (value > 0) act({ tag, value: chosen })
      }}
    />
  </div>
)
