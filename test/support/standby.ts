import { PostgresServer } from './postgres.ts'
import type { Teardowns } from './servers.ts'

/** A real standby that streams from a primary, over another port if it is given. `name`: what the primary shows of it. */
export async function startStandby (t: Teardowns, primary: PostgresServer, { through = primary.port, name = 'standby' } = {}): Promise<PostgresServer> {
  const standby = await PostgresServer.standbyOf(through, { name })
  t.teardown(async () => { await standby.remove() })
  return standby
}
