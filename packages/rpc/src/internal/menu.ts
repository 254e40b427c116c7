import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import type { ConnectionLost } from "@persistent-connection/core/ConnectionError"
import * as Connector from "@persistent-connection/core/Connector"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { Answer, RpcConnection } from "../RpcConnector.js"
import { type RpcCallError, RpcMenuError } from "../RpcError.js"
import type { CheckOptions } from "../RpcMenu.js"
import { fingerprint } from "./fingerprint.js"
import { connectionOf, menuTag } from "./rpcConnection.js"

/**
 * The fingerprints of the procedures of a server, by their tags.
 *
 * @internal
 */
export const Menu = Schema.Record({ key: Schema.String, value: Schema.String })

/** @internal */
export const procedure = Rpc.make(menuTag, { success: Menu })

const menuOf = <Rpcs extends Rpc.Any>(group: RpcGroup.RpcGroup<Rpcs>): typeof Menu.Type =>
  Object.fromEntries(Array.from(group.requests.values(), (procedure) => [procedure._tag, fingerprint(procedure)]))

/** @internal */
export const layer = <Rpcs extends Rpc.Any>(
  group: RpcGroup.RpcGroup<Rpcs>
): Layer.Layer<Rpc.ToHandler<typeof procedure>> => {
  const menu = menuOf(group)
  return RpcGroup.make(procedure).toLayer({ [menuTag]: () => Effect.succeed(menu) })
}

/** @internal */
export const newest = <const Tags extends readonly [string, ...ReadonlyArray<string>]>(
  connection: object,
  ...tags: Tags
): Tags[number] => tags.find((tag) => connectionOf(connection)?.usable?.has(tag)) ?? tags.at(-1)!

/** @internal */
export const check = <Address, E0, E, R, Rpcs extends Rpc.Any>(
  self: Connector.Connector<Address, RpcConnection<E0>, E, R>,
  group: RpcGroup.RpcGroup<Rpcs>,
  options?: CheckOptions
): Connector.Connector<
  Address,
  RpcConnection<E0>,
  E | RpcMenuError | RpcCallError | ConnectionLost<E0> | ConnectionLost,
  R
> => {
  const known = menuOf(group)
  return Connector.setup(self, (connection: RpcConnection<E0>, _: Address, { serverName }) =>
    Effect.gen(function*() {
      let answer: Answer | undefined
      yield* connection.request(request, (last) =>
        Effect.sync(() => {
          answer = last
        }))
      if (answer?._tag !== "Exit" || answer.exit._tag !== "Success") {
        if (options?.withoutMenu === "accept") return
        return yield* new RpcMenuError({ serverName, reason: { _tag: "NoMenu" } })
      }
      const menu = yield* Effect.mapError(
        decode(answer.exit.value),
        () => new RpcMenuError({ serverName, reason: { _tag: "InvalidMenu" } })
      )
      const tags = Object.keys(known)
      const has = (tag: string) => Object.hasOwn(menu, tag)
      const usable = new Set(tags.filter((tag) => menu[tag] === known[tag]))
      const lacking = tags.filter((tag) => !tags.some((other) => nameOf(other) === nameOf(tag) && usable.has(other)))
      if (lacking.length > 0) {
        const missing = lacking.filter((tag) => !has(tag))
        const incompatible = lacking.filter(has)
        return yield* new RpcMenuError({ serverName, reason: { _tag: "Incompatible", missing, incompatible } })
      }
      const checked = connectionOf(connection)
      if (checked !== undefined) checked.usable = usable
    }))
}

/** The name of a procedure: its tag without the version. */
const nameOf = (tag: string): string => tag.replace(/@\d+$/, "")

const request = {
  _tag: "Request",
  // The ids of an `RpcClient` count up from 0, and never reach this one.
  id: String(Number.MAX_SAFE_INTEGER),
  tag: menuTag,
  payload: undefined,
  headers: []
} as const

const decode = Schema.decodeUnknown(Menu)
