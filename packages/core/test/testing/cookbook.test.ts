import { expect, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const cookbook = fileURLToPath(new URL("../cookbook/", import.meta.url))
const page = fileURLToPath(new URL("../../../../docs/testing.md", import.meta.url))

/** A link to a file of the cookbook, and the code block below it. */
const recipe = /(\[`(\w+\.test\.ts)`\]\(\.\.\/packages\/core\/test\/cookbook\/\2\)\n\n```ts\n)(.*?)(```\n)/gs

it("docs/testing.md shows the current files of the cookbook (`vitest -u` updates it)", async () => {
  const text = readFileSync(page, "utf8")
  const files = [...text.matchAll(recipe)].map((match) => match[2])
  expect(files).toHaveLength(10)
  expect([...files].sort()).toEqual(readdirSync(cookbook).sort())
  // There is one other code block: the scripted WebSocket, which belongs to another package.
  expect(text.match(/^```\w/gm)).toHaveLength(11)

  const upToDate = text.replace(
    recipe,
    (_, head: string, file: string, _code, tail: string) => head + readFileSync(cookbook + file, "utf8") + tail
  )
  await expect(upToDate).toMatchFileSnapshot(page)
})
