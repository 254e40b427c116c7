import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"

/** The procedures of the RPC server. */
export const Calls = RpcGroup.make(
  Rpc.make("Echo", { payload: { text: Schema.String }, success: Schema.String }),
  Rpc.make("Flood", { payload: { count: Schema.Number, size: Schema.Number }, success: Schema.String, stream: true })
)
