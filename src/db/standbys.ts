import { sql, type SQL } from 'drizzle-orm'
import { NothingDone } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import type { DatabaseServer, Standbys } from '../core/standbys.ts'
import type { Database } from './connect.ts'
import { asWhole, provenRead } from './proof.ts'

/**
 * As the primary sees them now. Not subscribers of logical replication, nor programs that copy or archive. A standby that keeps a replication slot and is not
 * connected counts, unless commits wait for one at all. A role that may not see how each follows (`pg_read_all_stats`) is told whether
 * commits wait for any.
 */
export async function readStandbys (db: Database): Promise<Standbys> {
  return standbysIn(await provenRead<StandbysRow>(db, (proof) => standbyCounts(proof)))
}

interface StandbysRow {
  standbys: unknown
  not_waited_for: unknown
}

const standbyCounts = (columns: SQL) => sql`
  with commits as materialized (
    select current_setting('synchronous_standby_names') <> '' as wait
  ), standby as materialized (
    select coalesce(sync_state in ('sync', 'quorum'), commits.wait) as is_waited_for from pg_stat_replication, commits
    where coalesce(application_name, '') not in ('pg_basebackup', 'pg_receivewal')
      and pid not in (select active_pid from pg_replication_slots where slot_type = 'logical' and active_pid is not null)
    union all
    select commits.wait from pg_replication_slots, commits where slot_type = 'physical' and not active
  )
  select ${columns}, count(*)::int as standbys, (count(*) filter (where not is_waited_for))::int as not_waited_for from standby`

const standbysIn = (row: StandbysRow): Standbys => ({ count: asWhole(row.standbys, 'standbys'), notWaitedFor: asWhole(row.not_waited_for, 'not_waited_for') })

/** Refuses a change that a standby could lose (REQUIRE_SYNCHRONOUS). */
export async function assertSynchronous (db: Database): Promise<void> {
  const { notWaitedFor } = await readStandbys(db)
  if (notWaitedFor > 0) throw new NothingDone('Changes are refused (REQUIRE_SYNCHRONOUS) while the database has a standby that a commit does not wait for. Tell the operator of the service, and try again later.')
}

/** Standbys, and how many connections all clients have open, in one statement. Connections that only superusers may open do not count as free. */
export async function readServer (db: Database): Promise<DatabaseServer> {
  const row = await provenRead<StandbysRow & { open: unknown, max: unknown }>(db, (proof) => standbyCounts(sql`${proof},
    (select coalesce(sum(numbackends), 0) from pg_stat_database)::int as open,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as max`))
  return { ...standbysIn(row), connections: { open: asWhole(row.open, 'open'), max: asWhole(row.max, 'max') } }
}

interface ServerWatchOptions {
  read (): Promise<DatabaseServer>
  readonly log: Logger
  /** 5000 */
  readonly everyMs?: number
}

/** Looks at the server every few seconds; says once, whenever it changes, which standbys a commit does not wait for. */
export class ServerWatch {
  readonly #options: ServerWatchOptions
  #seen: DatabaseServer | undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor (options: ServerWatchOptions) {
    this.#options = options
  }

  /** As of the newest look; `undefined` before the first, and where the database does not tell. */
  get seen (): DatabaseServer | undefined {
    return this.#seen
  }

  async start (): Promise<void> {
    await this.#look()
    if (this.#isClosed) return
    this.#timer = setTimeout(() => { this.start().catch(() => {}) }, this.#options.everyMs ?? 5000)
    this.#timer.unref()
  }

  close (): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  async #look (): Promise<void> {
    // What is not known now is told as it was; that the database is away is told by others.
    const now = await this.#options.read().catch(() => this.#seen)
    const before = this.#seen
    this.#seen = now
    if (now === undefined || (before?.notWaitedFor ?? 0) === now.notWaitedFor) return
    const fields = { standbys: now.count, notWaitedFor: now.notWaitedFor }
    if (now.notWaitedFor > 0) this.#options.log.warn(fields, 'a standby follows the database that commits do not wait for: a failover to it loses revocations that were answered. docs/failover.md says what to set')
    else this.#options.log.info(fields, 'commits wait for every standby of the database')
  }
}
