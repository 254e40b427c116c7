/** An RPC server over WebSockets, in a process of its own. */
import * as Effect from "effect/Effect"
import { Echo } from "./rpcGroup.js"
import { serve } from "./rpcServing.js"

serve(Echo, Echo.toLayer({ Echo: ({ text }) => Effect.succeed(text) }))
