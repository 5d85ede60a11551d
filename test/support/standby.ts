import { PostgresServer } from './postgres.ts'
import type { Teardowns } from './servers.ts'

/** A real standby that streams from a primary, through another port if one is given. `name`: its `application_name`. */
export async function startStandby (t: Teardowns, primary: PostgresServer, { through = primary.port, name = 'standby' } = {}): Promise<PostgresServer> {
  const standby = await PostgresServer.standbyOf(through, { name })
  t.teardown(async () => { await standby.remove() })
  return standby
}
