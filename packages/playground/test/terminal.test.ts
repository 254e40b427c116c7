import * as ConnectionState from "@persistent-connection/core/ConnectionState"
import * as Option from "effect/Option"
import { expect, it } from "vitest"
import { describeState } from "../src/terminal.js"

it("says when the next attempt is made, in words if that is now", () => {
  const waiting = (nextAttemptAt: Option.Option<number>) =>
    describeState(ConnectionState.Waiting({
      since: 1_000,
      generation: 1,
      attempt: 2,
      address: Option.none(),
      lastCause: Option.none(),
      nextAttemptAt
    }))
  expect(waiting(Option.some(1_570.4))).toBe("Waiting, next attempt in 570 ms")
  expect(waiting(Option.some(1_000.4))).toBe("Waiting, next attempt at once")
  expect(waiting(Option.some(400))).toBe("Waiting, next attempt at once")
  expect(waiting(Option.none())).toBe("Waiting")
})
