import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Sql } from 'postgres'
import type { Teardowns } from '../../test/support/servers.ts'
import { digestFromBytes, type Digest } from '../../src/core/key-record.ts'
import { connect, type Database } from '../../src/db/connect.ts'
import { prepareFindKeys } from '../../src/db/queries/find-keys.ts'

/** Microseconds of processor time of Postgres for one statement that looks keys up. */
export interface LookupCost {
  readonly digests: number
  readonly asSent: number
  /** The same statement, had the server prepared it. */
  readonly prepared: number
}

interface LookupCostsOptions {
  readonly databaseUrl: string
  readonly tokensFile: string
  readonly digestCounts: readonly number[]
}

const statementsAtATime = 200
const turns = 5

/** What it costs Postgres that lookups are not prepared on the server: the least of several turns, in which the two alternate. */
export async function lookupCosts (t: Teardowns, { databaseUrl, tokensFile, digestCounts }: LookupCostsOptions): Promise<LookupCost[]> {
  const { db, sql, close } = connect({ url: databaseUrl, max: 1 })
  t.teardown(close)
  const digests = readFileSync(tokensFile, 'utf8').trimEnd().split('\n').map((token) => digestFromBytes(hash('sha256', token, 'buffer')))
  const pid = (await sql.unsafe<Array<{ pid: number }>>('select pg_backend_pid() as pid'))[0]!.pid
  const find = prepareFindKeys(db)
  const costs: LookupCost[] = []
  for (const count of digestCounts) {
    const drawn = () => Array.from({ length: count }, () => digests[Math.floor(Math.random() * digests.length)]!)
    const name = `lookup_of_${count}`
    await sql.unsafe(`prepare ${name} as ${await textOf(db, drawn())}`)
    let [asSent, prepared] = [Infinity, Infinity]
    for (let turn = 0; turn < turns; turn++) {
      asSent = Math.min(asSent, await costOf(pid, async () => { await find(drawn()) }))
      prepared = Math.min(prepared, await costOf(pid, async () => { await sql.unsafe(`execute ${name}`) }))
    }
    costs.push({ digests: count, asSent, prepared })
  }
  return costs
}

async function costOf (pid: number, statement: () => Promise<void>): Promise<number> {
  const before = usOf(pid)
  for (let i = 0; i < statementsAtATime; i++) await statement()
  return (usOf(pid) - before) / statementsAtATime
}

function usOf (pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1000
}

/** The statement, which is never sent. */
async function textOf (db: Database, digests: readonly Digest[]): Promise<string> {
  let sent = ''
  const $client = { unsafe: async (text: string) => { sent = text; return [] } } as unknown as Sql
  await prepareFindKeys({ tables: db.tables, $client } as unknown as Database)(digests).catch(() => {})
  return sent
}
