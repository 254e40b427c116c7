import type { FramingErrorReason } from "../../FramingError.js"

/**
 * Splits the received data into frames. The result does not depend on the boundaries of the received pieces.
 *
 * @internal
 */
export interface Framer<in Piece, out Frame> {
  /**
   * Takes the next piece and passes the frames that it completes to `give`. Returns the first error, and stops there.
   */
  readonly take: (piece: Piece, give: (frame: Frame) => unknown) => FramingErrorReason | undefined
  /** The number of received bytes of the incomplete frame. */
  readonly pending: () => number
}

/**
 * The received part of an incomplete frame. Its memory doubles when it grows, because a frame may arrive byte by byte.
 */
class Beginning {
  length = 0
  private memory = nothing

  get bytes(): Uint8Array {
    return this.memory.subarray(0, this.length)
  }

  /** The stored bytes followed by the next piece. */
  with(piece: Uint8Array): Uint8Array {
    if (this.length === 0) return piece
    this.append(piece)
    return this.bytes
  }

  append(piece: Uint8Array): void {
    const length = this.length + piece.length
    if (length > this.memory.length) {
      const memory = new Uint8Array(Math.max(length, 2 * this.length))
      memory.set(this.bytes)
      this.memory = memory
    }
    this.memory.set(piece, this.length)
    this.length = length
  }

  /** Replaces the stored bytes. `rest` may be a view of them. */
  keep(rest: Uint8Array): void {
    this.length = 0
    if (rest.length === 0) this.memory = nothing
    else this.append(rest)
  }
}

const nothing = new Uint8Array(0)

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/**
 * The text of some bytes; undefined if they are not valid UTF-8.
 *
 * @internal
 */
export const decodeText = (bytes: Uint8Array): string | undefined => {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

/**
 * True if UTF-8 can encode the text. Half of a surrogate pair would be replaced by the character U+FFFD.
 *
 * @internal
 */
export const isWellFormed = (text: unknown): text is string => typeof text === "string" && !/\p{Surrogate}/u.test(text)

/** @internal */
export const notWellFormed = "it is not a string that UTF-8 can encode"

const LF = 10
const CR = 13

/**
 * Lines of UTF-8 text that end with LF or CRLF. No multi-byte character contains an LF byte, so the bytes are split
 * first, and decoded when a line is complete.
 *
 * @internal
 */
export const lines = (maxFrameSize: number): Framer<Uint8Array, string> => {
  const beginning = new Beginning()
  const tooLong: FramingErrorReason = { _tag: "FrameTooLong", maxFrameSize }

  const takeOne = (line: Uint8Array, give: (line: string) => unknown): FramingErrorReason | undefined => {
    const end = line.at(-1) === CR ? line.length - 1 : line.length
    if (end > maxFrameSize) return tooLong
    const text = decodeText(line.subarray(0, end))
    if (text === undefined) return { _tag: "InvalidText" }
    give(text)
    return undefined
  }

  /** Takes complete lines, separated by LF. */
  const takeAll = (all: Uint8Array, give: (line: string) => unknown): FramingErrorReason | undefined => {
    // Fast path: decodes all lines at once. One invalid or long line makes the slow path necessary.
    const text = all.length <= maxFrameSize ? decodeText(all) : undefined
    if (text !== undefined) {
      for (const line of text.split("\n")) give(line.endsWith("\r") ? line.slice(0, -1) : line)
      return undefined
    }
    for (let start = 0; start <= all.length;) {
      const end = all.indexOf(LF, start)
      const line = all.subarray(start, end === -1 ? all.length : end)
      const wrong = takeOne(line, give)
      if (wrong !== undefined) return wrong
      start += line.length + 1
    }
    return undefined
  }

  return {
    take: (piece, give) => {
      const end = piece.lastIndexOf(LF)
      if (end === -1) {
        beginning.append(piece)
      } else {
        const wrong = takeAll(beginning.with(piece.subarray(0, end)), give)
        if (wrong !== undefined) return wrong
        beginning.keep(piece.subarray(end + 1))
      }
      // A final CR may belong to a CRLF whose LF has not arrived yet.
      const length = beginning.bytes.at(-1) === CR ? beginning.length - 1 : beginning.length
      return length > maxFrameSize ? tooLong : undefined
    },
    pending: () => beginning.length
  }
}

/**
 * The same framer without empty frames.
 *
 * @internal
 */
export const withoutEmpty = <Piece>({ pending, take }: Framer<Piece, string>): Framer<Piece, string> => ({
  take: (piece, give) => take(piece, (frame) => frame !== "" && give(frame)),
  pending
})

/** @internal */
export interface Prefix {
  readonly lengthBytes: 1 | 2 | 4
  readonly endianness: "big" | "little"
}

/**
 * Frames with a length prefix.
 *
 * @internal
 */
export const lengthPrefixed = (prefix: Prefix, maxFrameSize: number): Framer<Uint8Array, Uint8Array> => {
  const { lengthBytes } = prefix
  const beginning = new Beginning()
  return {
    take: (piece, give) => {
      const bytes = beginning.with(piece)
      let start = 0
      while (bytes.length - start >= lengthBytes) {
        const length = readLength(bytes, start, prefix)
        if (length > maxFrameSize) return { _tag: "FrameTooLong", maxFrameSize }
        const end = start + lengthBytes + length
        if (end > bytes.length) break
        // A copy: the memory is reused, and a small frame must not retain a large piece.
        give(bytes.slice(start + lengthBytes, end))
        start = end
      }
      beginning.keep(bytes.subarray(start))
      return undefined
    },
    pending: () => beginning.length
  }
}

const readLength = (bytes: Uint8Array, start: number, { endianness, lengthBytes }: Prefix): number => {
  let length = 0
  for (let index = 0; index < lengthBytes; index++) {
    length = length * 256 + bytes[start + (endianness === "big" ? index : lengthBytes - 1 - index)]!
  }
  return length
}

/**
 * The frame with its length prefix; undefined if the prefix is too small for the length.
 *
 * @internal
 */
export const withLength = (frame: Uint8Array, { endianness, lengthBytes }: Prefix): Uint8Array | undefined => {
  if (frame.length >= 256 ** lengthBytes) return undefined
  const bytes = new Uint8Array(lengthBytes + frame.length)
  for (let index = 0; index < lengthBytes; index++) {
    bytes[endianness === "big" ? lengthBytes - 1 - index : index] = Math.floor(frame.length / 256 ** index) % 256
  }
  bytes.set(frame, lengthBytes)
  return bytes
}

/**
 * Each message is a frame.
 *
 * @internal
 */
export const messages = (maxFrameSize: number): Framer<string | Uint8Array, string | Uint8Array> => ({
  take: (message, give) => {
    if (message.length > maxFrameSize) return { _tag: "FrameTooLong", maxFrameSize }
    give(message)
    return undefined
  },
  pending: () => 0
})
