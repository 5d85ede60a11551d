import type { Sql } from 'postgres'
import { unavailable } from '../core/errors.ts'
import { borrow, connect, type Database } from '../db/connect.ts'
import { migrate } from '../db/migrate.ts'
import { prepareFindKeys } from '../db/queries/find-keys.ts'
import { recordUsage } from '../db/queries/record-usage.ts'
import type { OwnConnection } from '../db/replaceable-connection.ts'
import { defaultSchema } from '../db/schema.ts'
import { borrowedPool, ReplaceablePool, type Pool } from '../db/replaceable-pool.ts'
import { inTime } from '../core/in-time.ts'
import type { HostDatabase, KeysOptions } from './open-keys.ts'

export type Lookups = Pool<ReturnType<typeof prepareFindKeys>>

type Usage = Pool<(ages: ReadonlyMap<string, number>) => Promise<void>>

/** The ways to Postgres, apart from each other, so that none waits behind another. */
export interface Databases {
  readonly lookups: Lookups
  readonly management: Pool<Database>
  /** Warnings that the server has sent on the connections of `management`. */
  warnings (): number
  connectWindow (): OwnConnection
  recordUsage (ages: ReadonlyMap<string, number>): Promise<void>
  /** Gives up every connection but the window's: the server that they lead to is not the primary. */
  replace (): void
  close (): Promise<void>
}

const lookupConnections = 4
const managementConnections = 8
const reachTimeoutMs = 3000
const usageTimeoutMs = 5000

/** Connects when something is asked. */
export function openDatabases ({ databaseUrl, databaseSchema, db }: KeysOptions): Databases {
  if ((databaseUrl === undefined) === (db === undefined)) throw new TypeError('Give either `databaseUrl` or `db`.')
  return db === undefined ? ownDatabases(databaseUrl!, databaseSchema) : borrowedDatabases(db, databaseSchema)
}

function ownDatabases (url: string, schema: string | undefined): Databases {
  let warnings = 0
  const lookups: Lookups = new ReplaceablePool({ url, schema, max: lookupConnections, prepare: prepareFindKeys })
  const usage: Usage = new ReplaceablePool({ url, schema, max: 1, prepare: prepareUsage })
  const management: Pool<Database> = new ReplaceablePool({
    url,
    schema,
    max: managementConnections,
    prepare: (db) => db,
    onnotice: ({ severity }) => { if (severity === 'WARNING') warnings++ }
  })
  return {
    lookups,
    management,
    warnings: () => warnings,
    connectWindow: () => connect({ url, schema, max: 1 }),
    recordUsage: (ages) => boundedUsage(usage, ages),
    replace () {
      for (const pool of [lookups, usage, management]) pool.replace()
    },
    async close () {
      await Promise.all([lookups.close(), usage.close(), management.close()])
    }
  }
}

function borrowedDatabases (host: HostDatabase, schema = defaultSchema): Databases {
  const db = borrow(host.$client, schema)
  const usage = borrowedPool(db, prepareUsage)
  return {
    lookups: borrowedPool(db, prepareFindKeys),
    management: borrowedPool<Database>(db, (database) => database),
    warnings: () => 0,
    connectWindow: () => ({ sql: withoutEnd(host.$client), schema }),
    recordUsage: (ages) => boundedUsage(usage, ages),
    replace () {},
    async close () {}
  }
}

function prepareUsage (db: Database): (ages: ReadonlyMap<string, number>) => Promise<void> {
  return (ages) => recordUsage(db, ages)
}

function boundedUsage (usage: Usage, ages: ReadonlyMap<string, number>): Promise<void> {
  return inTime(usage.queries(ages), usageTimeoutMs, () => usage.replace())
}

// Who gives up on an answer ends the connection; the host's is not ours to end.
function withoutEnd (client: Sql): Sql {
  return new Proxy(client, { get: (target, name) => name === 'end' ? async () => {} : Reflect.get(target, name) })
}

/** Rejects with `unavailable` while the database cannot be reached: that may be tried again. */
export async function assertReady ({ lookups }: Databases, { databaseUrl, databaseSchema: schema }: KeysOptions): Promise<void> {
  try {
    await inTime(lookups.queries([]), reachTimeoutMs)
  } catch (error) {
    if (codeOf(error) !== '42P01') throw unavailable('The database cannot be reached, or does not answer.', error)
    // An empty database: nothing of anybody's can be harmed by making it one of ours.
    if (databaseUrl === undefined) throw new Error('The database has no tables for keys yet: run `navis-keys migrate` on it first.')
    await migrate(databaseUrl, { schema })
  }
}

function codeOf (error: unknown): string | undefined {
  const { code, cause } = error as { code?: string, cause?: { code?: string } }
  return cause?.code ?? code
}
