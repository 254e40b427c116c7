/**
 * Runs an example:
 *
 *     npm run example rpc
 */
const name = process.argv[2]

if (name === "rpc") {
  await import("./rpc/example.js")
} else {
  console.error("usage: npm run example rpc")
  process.exitCode = 1
}
