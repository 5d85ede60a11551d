import type { PostgresServer, Teardowns } from '../support/servers.ts'
import { startStandby } from '../support/standby.ts'
import { Links } from '../torture/links.ts'

/** A standby that follows the primary over a link, and that no commit waits for. */
export async function followingStandby (t: Teardowns, primary: PostgresServer): Promise<{ port: number, url: string, cut: () => Promise<unknown> }> {
  const carrier = new Links()
  t.teardown(() => { carrier.close() })
  const link = await carrier.open(primary.port)
  const { port, url } = await startStandby(t, primary, { through: link.port })
  return { port, url, cut: async () => await link.hold() }
}
