/** One peer of the benchmark of throughput, in a process of its own: `node talker.js NAME`. */
import { directions, talkers, type Task } from "./peers/talkers.js"

const peer = talkers.find(({ name }) => name === process.argv[2])!

process.on("message", async ({ direction, load, port }: Task) => {
  const client = await peer.talk(port)
  const value = await directions[direction].measure(client, load)
  await client.close()
  process.send?.({ value })
})
process.on("disconnect", () => process.exit())
