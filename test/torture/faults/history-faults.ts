import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import postgres from 'postgres'
import { PostgresServer } from '../../support/postgres.ts'
import { requireProgram } from '../../support/programs.ts'
import { until } from '../../support/until.ts'
import { healMs, type Fleet } from '../fleet.ts'
import { inTime } from '../deadline.ts'
import { waitOf } from '../latencies.ts'
import type { TrackedKey } from '../ledger.ts'
import type { ReplicaClient } from '../replica-client.ts'
import type { Fault, Hold } from './fault.ts'

/** Takes hold of everything: the whole fleet gets another history. */
const everything: readonly Hold[] = ['postgres', 'redis', ...[1, 2, 3, 4].map((place): Hold => `replica ${place}`)]
const schema = 'navis_keys'
/** A statement of an administrator, a dump, a restore: of a small database on this machine. */
const administerMs = 60_000
const run = promisify(execFile)
const witnessesMade = 9
/** Positions by which one history runs ahead of another. */
const ahead = 50
/** SQLSTATE; the statement that was ended can be sent again. */
const deadlockDetected = '40P01'
const dropsMax = 10

/** A copy of the database, as a staging system begins; it is used and changed beside the original, on the same Redis. */
export function copiedBeside (): Fault {
  return {
    kind: 'a copy of the database in use beside it, on the same Redis',
    holds: ['postgres', 'redis'],
    lasts: 'short',
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'redis', name: 'a copy of the database in use' })
      const witnesses = await fleet.churn.keys(witnessesMade)
      const dump = await dumped(fleet, 'copied')
      await administer(fleet.postgres.url, 'create database copied')
      await restore(dump.file, fleet.postgres.urlOf('copied'))
      const { replica, client } = await fleet.startStranger(fleet.postgres.urlOf('copied'))
      await sleep(untilLineageMs(fleet))
      // The copy runs ahead in its own history, and then writes what it holds of keys that the original has revoked.
      await Promise.all(witnesses.slice(1).map(async (key) => { await fleet.changes.revokeUnseen(key) }))
      await renamed(fleet, witnesses[0], ahead, client)
      for (const key of witnesses) await renamed(fleet, key, 1, client)
      for (const key of witnesses) client.verify(key, 64)
      const known = fleet.pool.live.filter(({ madeAt }) => madeAt < dump.at).slice(0, 10)
      for (const { workspaceId, id } of known) await client.call({ method: 'DELETE', path: `/v1/workspaces/${workspaceId}/keys/${id}`, timeoutMs: 5000 })
      await renamed(fleet, witnesses[0], 2 * ahead)
      return async () => {
        askAll(fleet, witnesses)
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
      const witnesses = await fleet.churn.keys(witnessesMade)
      const dump = await dumped(fleet, 'stopped')
      await goAstray(fleet, witnesses)
      return async () => {
        await fleet.quiet()
        const end = fleet.troubles.begin({ kind: 'postgres', name: 'restored with the replicas stopped', mayBeUnavailable: true })
        const places = fleet.clients.map(({ place }) => place)
        for (const place of places) await fleet.release(place).kill()
        await administer(fleet.postgres.url, `drop schema ${schema} cascade`)
        await restore(dump.file, fleet.postgres.url)
        fleet.setBack(dump.at)
        await Promise.all(places.map(async (place) => { await fleet.startReplica(place) }))
        await revokeAnew(fleet, witnesses)
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
      const witnesses = await fleet.churn.keys(witnessesMade)
      const end = frozenPlace === undefined
        ? undefined
        : fleet.troubles.begin({ kind: 'replica', name: `replica ${frozenPlace} frozen`, place: frozenPlace, mayBeUnavailable: true })
      if (frozenPlace !== undefined) fleet.replica(frozenPlace).freeze()
      const dump = await dumped(fleet, 'running')
      await goAstray(fleet, witnesses, frozenPlace)
      return async () => {
        await fleet.quiet()
        const endOfAll = fleet.troubles.begin({ kind: 'postgres', name: 'restored under running replicas', mayBeUnavailable: true })
        await dropUnderReplicas(fleet.postgres.url)
        await sleep(waitOf(fleet.windowMs) + 100)
        await restore(dump.file, fleet.postgres.url)
        fleet.setBack(dump.at)
        if (frozenPlace !== undefined) {
          const client = fleet.client(frozenPlace)
          for (const key of [...fleet.pool.recent, ...fleet.pool.live.slice(0, 20)]) client.verify(key, 64)
          fleet.replica(frozenPlace).thaw()
        }
        end?.(healMs)
        await revokeAnew(fleet, witnesses)
        fleet.churn.resume()
        // What was cached has to be asked for anew, and a lineage to be founded once the rows of before are counted out.
        endOfAll(waitOf(fleet.windowMs) + healMs)
      }
    }
  }
}

/**
 * A replica that is frozen between the two messages of a statement, the one that names it and the one that carries its values, keeps the locks of its tables for
 * as long as it is frozen: no timeout of the server covers that moment. As an operator would, end the connections that the drop has waited for,
 * and drop again after a deadlock with a replica's statement, which holds one table and waits for another.
 */
async function dropUnderReplicas (url: string): Promise<void> {
  const dropped = dropInTheEnd(url)
  const timer = setInterval(() => {
    administer(url, `select pg_terminate_backend(blocker) from pg_stat_activity as waiting, unnest(pg_blocking_pids(waiting.pid)) as blocker
      where waiting.query = 'drop schema ${schema} cascade' and waiting.query_start < clock_timestamp() - interval '2 s'`).catch(() => {})
  }, 1000)
  await dropped.finally(() => { clearInterval(timer) })
}

/** The primary is killed and its standby takes over; `areLost`: without the commits of the last moments. */
export function promoted ({ areLost }: { areLost: boolean }): Fault {
  return {
    kind: `the primary killed and a standby promoted, ${areLost ? 'the last commits lost' : 'nothing lost'}`,
    holds: everything,
    lasts: 'short',
    only: ['plain', 'sentinel'],
    async strike (fleet) {
      const primary = fleet.postgres
      const link = await fleet.openLink(primary.port)
      const standby = await PostgresServer.standbyOf(link.port)
      fleet.keepUntilTheEnd(standby)
      let lostSince = Infinity
      if (areLost) {
        // What was answered from here on may be there or not: it can be committed after the standby has caught up and before the link is held.
        lostSince = performance.now()
        await caughtUp(primary, standby)
        await link.hold()
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
    only: ['plain', 'sentinel'],
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

async function dropInTheEnd (url: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await administer(url, `drop schema ${schema} cascade`)
      return
    } catch (error) {
      if ((error as { code?: unknown }).code !== deadlockDetected || attempt === dropsMax) throw error
    }
  }
}

/**
 * A history that will be lost: many positions are taken in it, and then the witnesses are read anew everywhere, so that memory and Redis hold them
 * as of positions that the history after it will use for other changes.
 */
async function goAstray (fleet: Fleet, witnesses: readonly TrackedKey[], frozenPlace?: number): Promise<void> {
  const client = fleet.clients.find(({ place }) => place !== frozenPlace)
  await renamed(fleet, witnesses[0], ahead, client)
  for (const key of witnesses) await renamed(fleet, key, 1, client)
  askAll(fleet, witnesses)
  await sleep(100)
}

/** The witnesses are revoked in the history that counts now, which then goes beyond the positions of the lost one; and they are asked about. */
async function revokeAnew (fleet: Fleet, witnesses: readonly TrackedKey[]): Promise<void> {
  await Promise.all(witnesses.slice(1).map(async (key) => { await fleet.changes.revokeUnseen(key) }))
  await renamed(fleet, witnesses[0], 2 * ahead)
  await sleep(untilLineageMs(fleet))
  askAll(fleet, witnesses)
  await sleep(100)
}

/** Members that the database shows from before are counted out after W; then a lineage is founded, and Redis is used. */
function untilLineageMs ({ windowMs }: Fleet): number {
  return waitOf(windowMs) + 1500
}

function askAll (fleet: Fleet, keys: readonly TrackedKey[]): void {
  for (const client of fleet.clients) for (const key of keys) client.verify(key, 64)
}

/** So many changes that take nothing away: through the fleet, or through one replica of a copy. */
async function renamed (fleet: Fleet, key: TrackedKey | undefined, times: number, client?: ReplicaClient): Promise<void> {
  if (key === undefined) throw new Error('No key could be made.')
  for (let done = 0; done < times; done += 10) {
    await Promise.all(Array.from({ length: Math.min(10, times - done) }, async () => {
      await (client === undefined ? fleet.changes.rename(key) : client.call({ method: 'PATCH', path: `/v1/workspaces/${key.workspaceId}/keys/${key.id}`, body: { name: 'renamed' }, timeoutMs: 5000 }))
    }))
  }
}

/** `at` is before the dump was begun, in `performance.now()` milliseconds. */
async function dumped (fleet: Fleet, name: string): Promise<{ file: string, at: number }> {
  const file = join(fleet.redis.dir, `${name}.dump`)
  const at = performance.now()
  await run(requireProgram('pg_dump'), ['-Fc', '-n', schema, '-f', file, '-d', fleet.postgres.url], { timeout: administerMs })
  return { file, at }
}

async function restore (file: string, url: string): Promise<void> {
  await run(requireProgram('pg_restore'), ['--no-owner', '--single-transaction', '-d', url, file], { timeout: administerMs })
}

async function caughtUp (primary: PostgresServer, standby: PostgresServer): Promise<void> {
  const [position] = await administer(primary.url, 'select pg_current_wal_lsn()::text as at')
  await until(async () => (await administer(standby.url, `select pg_last_wal_replay_lsn() >= '${String(position?.['at'])}' as is_there`))[0]?.['is_there'], { timeoutMs: 20_000 })
}

async function administer (url: string, statement: string) {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    return await inTime(`the database to answer: ${statement}`, administerMs, sql.unsafe(statement))
  } finally {
    await sql.end({ timeout: 1 })
  }
}
