/** Scenarios to begin with, as texts. */
export const examples: ReadonlyArray<{ readonly name: string; readonly text: string }> = [
  { name: "The server restarts", text: "do=3000:kill,9000:start&until=25000" },
  { name: "The connection goes silent", text: "do=3000:silence&until=20000" },
  { name: "The clients lose their network", text: "do=3000:offline,12000:online&until=25000" },
  { name: "The server announces a restart", text: "do=4000:announce&until=15000" },
  { name: "The server accepts, and never answers", text: "do=2000:hang,3000:silence,22000:start&until=35000" },
  { name: "The server accepts and hangs up", text: "do=2000:drop:1000,2500:kill,2500:start&until=45000" },
  { name: "200 clients, a restart", text: "clients=200&do=8000:kill,8000:start&until=25000" },
  {
    name: "200 clients without jitter",
    text: "policy=fixed&clients=200&do=8000:kill,14000:start&until=25000"
  }
]
