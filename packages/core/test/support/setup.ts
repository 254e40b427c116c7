import { beforeEach } from "@effect/vitest"
import { turn } from "./proof.js"

// Yields to the event loop before each test: tests in virtual time never do, and their worker could not report.
beforeEach(turn)
