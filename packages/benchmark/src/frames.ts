import type { Socket } from "node:net"
import type { WebSocket } from "ws"

/** A text message as a frame of the WebSocket protocol. */
export const frameOf = (message: string): Buffer => {
  const content = Buffer.from(message)
  const size = content.length
  const header = size < 126 ? Buffer.from([0x81, size]) : Buffer.alloc(10)
  if (size >= 126) {
    header.writeUInt16BE(0x817f)
    header.writeBigUInt64BE(BigInt(size), 2)
  }
  return Buffer.concat([header, content])
}

/** The TCP socket below a WebSocket. */
export const tcpOf = (socket: WebSocket): Socket => (socket as unknown as { readonly _socket: Socket })._socket

/** Writes a piece of data `count` times, as fast as the other side reads. */
export const writeMany = (tcp: Socket, piece: Buffer, count: number): Promise<void> =>
  new Promise((resolve) => {
    const perWrite = Math.min(count, Math.ceil(256 * 1024 / piece.length))
    const pieces = Buffer.concat(Array.from({ length: perWrite }, () => piece))
    let left = count
    const write = () => {
      if (left === 0 || !tcp.writable) return resolve()
      const now = Math.min(left, perWrite)
      left -= now
      tcp.write(now === perWrite ? pieces : pieces.subarray(0, now * piece.length), write)
    }
    write()
  })
