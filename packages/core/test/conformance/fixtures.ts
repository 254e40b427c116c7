import { fileURLToPath } from "node:url"

/** The traces that come with this package; the same path from the sources and from the build. */
export const fixtures: ReadonlyArray<string> = ["handmade.jsonl", "random.jsonl", "findings.jsonl"].map((file) =>
  fileURLToPath(new URL(`../../test/fixtures/conformance/${file}`, import.meta.url))
)
