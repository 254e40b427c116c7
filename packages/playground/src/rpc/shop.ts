/** The procedures of the shop, which its server and its clients share. */
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcAnnotation from "@persistent-connection/rpc/RpcAnnotation"
import * as Schema from "effect/Schema"

export class Shop extends RpcGroup.make(
  // May run twice: after a loss it is sent again.
  Rpc.make("Price", { payload: { item: Schema.String }, success: Schema.Number })
    .annotate(RpcAnnotation.Idempotent, true),
  // Must not run twice: after a loss it fails.
  Rpc.make("Order", { payload: { item: Schema.String }, success: Schema.String }),
  // The numbers of the orders, after a given one.
  Rpc.make("Sales", { payload: { after: Schema.Number }, success: Schema.Number, stream: true })
) {}
