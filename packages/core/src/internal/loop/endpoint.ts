import { hideSecrets } from "../base/secrets.js"

/** The host and the port that an address shows. */
interface Endpoint {
  readonly host?: string | undefined
  readonly port?: number
}

/**
 * The host, or the path of a Unix socket, and the port that an address shows. Never throws.
 *
 * @internal
 */
export const endpoint = (address: unknown): Endpoint => {
  try {
    if (typeof address === "string") return endpointOfString(address)
    if (typeof address !== "object" || address === null) return {}
    if (address instanceof URL) return endpointOfUrl(address)
    if ("url" in address) return endpoint(address.url)
    if ("path" in address && typeof address.path === "string") return endpointOfString(address.path)
    const host = "host" in address ? address.host : "hostname" in address ? address.hostname : undefined
    if (typeof host !== "string") return {}
    return { host: hideSecrets(host), ...portOf("port" in address ? address.port : undefined) }
  } catch {
    return {}
  }
}

const endpointOfString = (text: string): Endpoint => {
  if (text.includes("://")) return URL.canParse(text) ? endpointOfUrl(new URL(text)) : {}
  if (/^(?:[.~]*\/(?!\/)|[a-z]:\\)/i.test(text)) return { host: hideSecrets(text) }
  const [, ipv6, name, port] = /^(?:\[([\da-f:.]+)\]|([\w.-]+)):(\d+)(?:$|\/)/i.exec(hideSecrets(text)) ?? []
  return { host: ipv6 ?? name, ...portOf(port) }
}

const endpointOfUrl = ({ hostname, port, protocol }: URL): Endpoint =>
  hostname === "" ? {} : { host: hostname.replace(/^\[(.*)\]$/, "$1"), ...portOf(port || defaultPorts.get(protocol)) }

const defaultPorts: ReadonlyMap<string, number> = new Map([["http:", 80], ["ws:", 80], ["https:", 443], ["wss:", 443]])

const portOf = (port: unknown): Endpoint => {
  const number = typeof port === "string" && port !== "" ? Number(port) : port
  return typeof number === "number" && Number.isInteger(number) ? { port: number } : {}
}
