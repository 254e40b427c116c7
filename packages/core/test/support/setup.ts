import { beforeEach } from "@effect/vitest"
import { turn } from "./proof.js"

// A file of tests that never wait would keep its worker from reporting.
beforeEach(turn)
