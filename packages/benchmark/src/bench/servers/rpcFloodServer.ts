/** An RPC server over WebSockets, in a process of its own, which also sends many messages. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { serve } from "../../rpcServing.js"
import { Calls } from "../peers/calls.js"

serve(
  Calls,
  Calls.toLayer({
    Echo: ({ text }) => Effect.succeed(text),
    Flood: ({ count, size }) => Stream.rechunk(Stream.map(Stream.range(1, count), () => "x".repeat(size)), 64)
  })
)
