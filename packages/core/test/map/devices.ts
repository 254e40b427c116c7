import * as ConnectionMap from "@persistent-connection/core/ConnectionMap"
import * as Connector from "@persistent-connection/core/Connector"
import * as RetryPolicy from "@persistent-connection/core/RetryPolicy"
import * as Effect from "effect/Effect"

/** A connector for devices that records which hosts were opened and released. */
export const makeDevices = () => {
  const opened: Array<string> = []
  const released: Array<string> = []
  const devices = { opened, released, underWay: 0, most: 0, takes: 0, closeTakes: 0 }
  const connector = Connector.make({
    connect: (host: string) =>
      Effect.acquireRelease(
        Effect.sync(() => devices.most = Math.max(devices.most, ++devices.underWay)).pipe(
          Effect.zipRight(devices.takes === 0 ? Effect.void : Effect.sleep(devices.takes)),
          Effect.ensuring(Effect.sync(() => devices.underWay--)),
          Effect.zipRight(Effect.sync(() => {
            opened.push(host)
            return { host }
          })),
          Effect.interruptible
        ),
        () =>
          Effect.zipRight(
            devices.closeTakes === 0 ? Effect.void : Effect.sleep(devices.closeTakes),
            Effect.sync(() => released.push(host))
          )
      ),
    closed: () => Effect.never
  })
  const options = (host: string) => ({
    serverName: host,
    address: Effect.succeed(host),
    connector,
    retry: RetryPolicy.fixed("10 seconds")
  })
  return { devices, options }
}

/** Gets the connection of a key from a map and waits until it is connected. */
export const connected = <K, C, E>(map: ConnectionMap.ConnectionMap<K, C, E>, key: K) =>
  Effect.flatMap(ConnectionMap.get(map, key), (connection) => connection.connected)
