import type { Parser, RpcSerialization } from "@effect/rpc/RpcSerialization"

/**
 * Makes the parser for what a connection receives. The parsers of `@effect/rpc` decode each piece of bytes by itself,
 * so they lose a character of which a piece has only a part. At each piece, a parser of lines also searches again all
 * that it keeps of an incomplete line: small pieces could block the process for long. This parser keeps what is
 * incomplete itself.
 *
 * @internal
 */
export const makeParser = ({ includesFraming, unsafeMake }: RpcSerialization["Type"]): Parser => {
  const parser = unsafeMake()
  const encoded = parser.encode({ _tag: "Ping" })
  if (typeof encoded !== "string") return parser
  const isOfLines = includesFraming && encoded.endsWith("\n")
  let decoder: TextDecoder | undefined
  /** The end of the input, which the parser does not have yet. */
  let kept = ""
  /** The length of the incomplete line that the parser has. */
  let given = 0
  return {
    encode: (message) => parser.encode(message),
    decode: (piece) => {
      let text
      if (typeof piece === "string") {
        // Throws if a character begins in bytes and ends in text.
        decoder?.decode()
        text = piece
      } else {
        decoder ??= new TextDecoder("utf-8", { fatal: true })
        text = decoder.decode(piece, { stream: isOfLines })
      }
      const end = text.lastIndexOf("\n") + 1
      if (isOfLines && end === 0) {
        kept += text
        // Only the parser knows its limit, so it gets an incomplete line each time that its length has doubled.
        if (kept.length < given) return []
        given += kept.length
        text = kept
        kept = ""
      } else if (isOfLines) {
        const rest = text.slice(end)
        text = kept + text.slice(0, end)
        kept = rest
        given = 0
      }
      return parser.decode(text)
    }
  }
}
