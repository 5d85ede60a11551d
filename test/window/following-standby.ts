import { startProxy, type PostgresServer, type Teardowns } from '../support/servers.ts'
import { startStandby } from '../support/standby.ts'
import { until } from '../support/until.ts'
import { administer } from './replicas.ts'

interface FollowingStandby {
  readonly port: number
  readonly url: string
  /** Resolves when it has everything that the primary has now. */
  caughtUp (): Promise<void>
  cut (): void
  heal (): void
  kill (): Promise<void>
}

/** A standby that follows the primary over a link. No commit waits for it, unless the primary is told so. */
export async function followingStandby (t: Teardowns, primary: PostgresServer): Promise<FollowingStandby> {
  const link = await startProxy(t, { to: primary.port })
  const standby = await startStandby(t, primary, { through: link.port })
  const { port, url } = standby
  const caughtUp = async () => {
    const [{ at } = {}] = await administer(primary.url, 'select pg_current_wal_lsn()::text as at')
    await until(async () => (await administer(url, `select pg_last_wal_replay_lsn() >= '${String(at)}' as caught_up`))[0]?.['caught_up'])
  }
  return { port, url, caughtUp, cut: () => { link.cut() }, heal: () => { link.heal() }, kill: async () => { await standby.kill() } }
}
