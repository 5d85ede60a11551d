import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import postgres from 'postgres'
import { PostgresServer } from '../../support/postgres.ts'
import { requireProgram } from '../../support/programs.ts'
import { until } from '../../support/until.ts'
import { healMs, type Fleet } from '../fleet.ts'
import { waitOf } from '../latencies.ts'
import type { Fault, Hold } from './fault.ts'

/** Takes hold of everything: the whole fleet gets another history. */
const everything: readonly Hold[] = ['postgres', 'redis', ...[1, 2, 3, 4].map((place): Hold => `replica ${place}`)]
const schema = 'navis_keys'
const run = promisify(execFile)

/** A copy of the database, as a staging system begins; it is used and changed beside the original, on the same Redis. */
export function copiedBeside (): Fault {
  return {
    kind: 'a copy of the database in use beside it, on the same Redis',
    holds: ['postgres', 'redis'],
    lasts: 'short',
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'redis', name: 'a copy of the database in use' })
      const dump = await dumped(fleet, 'copied')
      await administer(fleet.postgres.url, 'create database copied')
      await restore(dump.file, fleet.postgres.urlOf('copied'))
      const known = [...fleet.pool.recent, ...fleet.pool.live].filter(({ madeAt }) => madeAt < dump.at)
      const { replica, client } = await fleet.startStranger(fleet.postgres.urlOf('copied'))
      // What lives in the original is revoked in the copy; what is revoked in either is asked of the copy.
      for (const key of known.slice(0, 10)) {
        client.verify(key, 64)
        await client.call({ method: 'DELETE', path: `/v1/workspaces/${key.workspaceId}/keys/${key.id}`, timeoutMs: 5000 })
      }
      return async () => {
        for (const key of [...fleet.pool.recent, ...known]) client.verify(key, 64)
        await sleep(200)
        client.close()
        await replica.kill()
        await administer(fleet.postgres.url, 'drop database copied with (force)')
        end(healMs)
      }
    }
  }
}

/** All replicas are stopped, the database is restored, Redis is kept, and all of them start again. */
export function restoredStopped (): Fault {
  return {
    kind: 'an older dump restored with the replicas stopped, Redis kept',
    holds: everything,
    lasts: 'short',
    async strike (fleet) {
      const dump = await dumped(fleet, 'stopped')
      return async () => {
        await fleet.quiet()
        const end = fleet.troubles.begin({ kind: 'postgres', name: 'restored with the replicas stopped', mayBeUnavailable: true })
        const places = fleet.clients.map(({ place }) => place)
        for (const place of places) await fleet.release(place).kill()
        await administer(fleet.postgres.url, `drop schema ${schema} cascade`)
        await restore(dump.file, fleet.postgres.url)
        fleet.setBack(dump.at)
        await Promise.all(places.map(async (place) => { await fleet.startReplica(place) }))
        fleet.churn.resume()
        end(waitOf(fleet.windowMs) + healMs)
      }
    }
  }
}

/** The replicas go on while the tables are away for W and come back older; one of them may be frozen from before the dump until after the restore. */
export function restoredRunning (frozenPlace?: number): Fault {
  return {
    kind: `an older dump restored under running replicas${frozenPlace === undefined ? '' : ', one of them frozen meanwhile'}`,
    holds: everything,
    lasts: 'short',
    async strike (fleet) {
      const end = frozenPlace === undefined
        ? undefined
        : fleet.troubles.begin({ kind: 'replica', name: `replica ${frozenPlace} frozen`, place: frozenPlace, mayBeUnavailable: true })
      if (frozenPlace !== undefined) fleet.replica(frozenPlace).freeze()
      const dump = await dumped(fleet, 'running')
      return async () => {
        await fleet.quiet()
        const endOfAll = fleet.troubles.begin({ kind: 'postgres', name: 'restored under running replicas', mayBeUnavailable: true })
        await administer(fleet.postgres.url, `drop schema ${schema} cascade`)
        await sleep(waitOf(fleet.windowMs) + 100)
        await restore(dump.file, fleet.postgres.url)
        fleet.setBack(dump.at)
        if (frozenPlace !== undefined) {
          const client = fleet.client(frozenPlace)
          for (const key of [...fleet.pool.recent, ...fleet.pool.live.slice(0, 20)]) client.verify(key, 64)
          fleet.replica(frozenPlace).thaw()
        }
        end?.(healMs)
        fleet.churn.resume()
        // What was cached has to be asked for anew, and a lineage to be founded once the rows of before are counted out.
        endOfAll(waitOf(fleet.windowMs) + healMs)
      }
    }
  }
}

/** The primary is killed and its standby takes over; `areLost`: without the commits of the last moments. */
export function promoted ({ areLost }: { areLost: boolean }): Fault {
  return {
    kind: `the primary killed and a standby promoted, ${areLost ? 'the last commits lost' : 'nothing lost'}`,
    holds: everything,
    lasts: 'short',
    async strike (fleet) {
      const primary = fleet.postgres
      const link = await fleet.openLink(primary.port)
      const standby = await PostgresServer.standbyOf(link.port)
      fleet.keepUntilTheEnd(standby)
      let lostSince = Infinity
      if (areLost) {
        await caughtUp(primary, standby)
        await link.hold()
        lostSince = performance.now()
      }
      return async () => {
        await fleet.quiet()
        if (!areLost) await caughtUp(primary, standby)
        const end = fleet.troubles.begin({ kind: 'postgres', name: 'primary killed, standby promoted', mayBeUnavailable: true })
        await primary.kill()
        await administer(standby.url, 'select pg_promote()')
        await fleet.moveTo(standby)
        // A revocation of one key that was lost is put back by the replicas, which heard of it.
        if (areLost) fleet.setBack(lostSince, ({ restriction }) => restriction === 'revoke')
        fleet.churn.resume()
        await primary.remove()
        end(healMs)
      }
    }
  }
}

/** The database's name leads to a standby for a while, which answers reads; the connections that were opened to it stay open. */
export function ledToStandby (): Fault {
  return {
    kind: 'led to a standby, whose connections stay open afterwards',
    holds: ['postgres'],
    lasts: 'long',
    async strike (fleet) {
      const standby = await PostgresServer.standbyOf(fleet.postgres.port)
      fleet.keepUntilTheEnd(standby)
      const end = fleet.troubles.begin({ kind: 'postgres', name: 'led to a standby', mayBeUnavailable: true })
      await fleet.leadTo(standby.port)
      await fleet.resetPostgresLinks()
      return async () => {
        await fleet.leadTo(fleet.postgres.port)
        end(healMs)
      }
    }
  }
}

/** A column gets another type and its own one back: what was prepared on it fails. */
export function columnTypeChanged (): Fault {
  return {
    kind: 'the type of a selected column changed, and back',
    holds: ['postgres'],
    lasts: 'short',
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'postgres', name: 'a column\'s type changed' })
      await administer(fleet.postgres.url, `alter table ${schema}.keys alter column name type varchar(300)`)
      return async () => {
        await administer(fleet.postgres.url, `alter table ${schema}.keys alter column name type text`)
        end()
      }
    }
  }
}

/** `at` is before the dump was begun, in `performance.now()` milliseconds. */
async function dumped (fleet: Fleet, name: string): Promise<{ file: string, at: number }> {
  const file = join(fleet.redis.dir, `${name}.dump`)
  const at = performance.now()
  await run(requireProgram('pg_dump'), ['-Fc', '-n', schema, '-f', file, '-d', fleet.postgres.url])
  return { file, at }
}

async function restore (file: string, url: string): Promise<void> {
  await run(requireProgram('pg_restore'), ['--no-owner', '--single-transaction', '-d', url, file])
}

async function caughtUp (primary: PostgresServer, standby: PostgresServer): Promise<void> {
  const [position] = await administer(primary.url, 'select pg_current_wal_lsn()::text as at')
  await until(async () => (await administer(standby.url, `select pg_last_wal_replay_lsn() >= '${String(position?.['at'])}' as is_there`))[0]?.['is_there'], { timeoutMs: 20_000 })
}

async function administer (url: string, statement: string) {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    return await sql.unsafe(statement)
  } finally {
    await sql.end()
  }
}
