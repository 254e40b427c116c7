import { fileURLToPath } from "node:url"

/** The trace files of this package. The path works from the sources and from the build. */
export const fixtures: ReadonlyArray<string> = ["handmade.jsonl", "random.jsonl", "findings.jsonl"].map((file) =>
  fileURLToPath(new URL(`../../test/fixtures/conformance/${file}`, import.meta.url))
)
