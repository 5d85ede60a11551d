import { sql, type SQL } from 'drizzle-orm'
import type { AgedCall } from '../../core/call-log.ts'
import type { CallDecision } from '../../core/usage.ts'
import type { CallQuery, ListedCall } from '../../core/usage-reports.ts'
import type { Database } from '../connect.ts'
import { boundary, timestamp } from './managed-key.ts'

/** Writes calls of the gateway in one statement; those that are there already are left as they are. Times are the database's. */
export async function insertCalls (db: Database, calls: readonly AgedCall[]): Promise<void> {
  const given = JSON.stringify(calls.map(({ id, ageMs, workspaceId, keyId, upstream, method, tool, decision, status, ms }) =>
    ({ id, age: ageMs, workspace_id: workspaceId, key_id: keyId, upstream, method, tool, decision, status, ms: Math.round(ms) })))
  await db.execute(sql`
    insert into ${db.tables.calls} (id, at, workspace_id, key_id, upstream, method, tool, decision, status, ms)
    select id, clock_timestamp() - age * interval '1 millisecond', workspace_id, key_id, upstream, method, tool, decision, status, ms
    from jsonb_to_recordset(${given}::text::jsonb) as call (
      id uuid, age float8, workspace_id text, key_id uuid, upstream text, method text, tool text, decision text, status int, ms int)
    where not exists (select from ${db.tables.keys} where keys.id = call.key_id and keys.erased)
    on conflict (id) do nothing`)
}

interface CallRow {
  id: string
  at: number
  key_id: string
  upstream: string
  method: string
  tool: string | null
  decision: CallDecision
  status: number
  ms: number
  [column: string]: unknown
}

export async function listCalls (db: Database, query: CallQuery): Promise<readonly ListedCall[]> {
  const rows = await db.execute<CallRow>(listCallsStatement(db, query))
  return rows.map(({ key_id: keyId, ...call }) => ({ ...call, keyId }))
}

export function listCallsStatement (db: Database, { workspaceId, keyId, tool, decision, from, to, rowsMax, after }: CallQuery): SQL {
  const conditions = [
    sql`calls.workspace_id = ${workspaceId}`,
    ...keyId === undefined ? [] : [sql`calls.key_id = ${keyId}::uuid`],
    ...tool === undefined ? [] : [sql`calls.tool = ${tool}`],
    ...decision === undefined ? [] : [sql`calls.decision = ${decision}`],
    ...from === undefined ? [] : [sql`calls.at >= ${boundary(from)}::timestamptz`],
    ...to === undefined ? [] : [sql`calls.at < ${boundary(to)}::timestamptz`],
    ...after === undefined ? [] : [sql`(calls.at, calls.id) < (${timestamp(after.at)}::timestamptz, ${after.id}::uuid)`]
  ]
  return sql`
    select id, (extract(epoch from calls.at) * 1000)::float8 as at, key_id, upstream, method, tool, decision, status, ms from ${db.tables.calls} as calls
    where ${sql.join(conditions, sql` and `)}
    order by calls.at desc nulls last, calls.id desc nulls last
    limit ${rowsMax}`
}

/** Forgets some of the calls that are older than `days`; resolves to how many went. */
export async function pruneCalls (db: Database, { days, rowsMax }: { readonly days: number, readonly rowsMax: number }): Promise<number> {
  const gone = await db.execute(sql`
    delete from ${db.tables.calls} where id in (
      select id from ${db.tables.calls} where at < statement_timestamp() - ${days}::int * interval '1 day' order by at limit ${rowsMax} for update skip locked)
    returning 1`)
  return gone.length
}
