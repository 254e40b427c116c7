import { effect } from "@preact/signals"
import { render } from "preact"
import { decode, encode } from "../src/live/scenarioText.js"
import { frame, load, restart, scenario, share } from "./app.js"
import { App } from "./components/App.js"

render(<App />, document.querySelector("#app")!)

void restart(decode(location.hash))

effect(() => share(encode(scenario.value)))
addEventListener("hashchange", load)

let last = performance.now()
const next = (at: number): void => {
  frame(at - last, at)
  last = at
  requestAnimationFrame(next)
}
requestAnimationFrame(next)
