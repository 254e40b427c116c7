/**
 * Runs an example:
 *
 *     npm run example rpc
 *     npm run example postgres
 *     npm run example redis
 */
const name = process.argv[2]

if (name === "rpc") {
  await import("./rpc/example.js")
} else if (name === "postgres") {
  await import("./recipes/postgresExample.js")
} else if (name === "redis") {
  await import("./recipes/redisExample.js")
} else {
  console.error("usage: npm run example rpc|postgres|redis")
  process.exitCode = 1
}
