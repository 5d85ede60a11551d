import { sql, type SQL } from 'drizzle-orm'
import type { AuditEntry, AuditQuery } from '../../core/key-store.ts'
import type { UpkeepStep } from '../../core/upkeep.ts'
import type { Database } from '../connect.ts'
import { boundary, timestamp } from './managed-key.ts'

interface AuditRow {
  id: string
  workspace_id: string
  key_id: string | null
  action: string
  actor: string
  at: number
  details: Record<string, unknown>
  [column: string]: unknown
}

export async function listAudit (db: Database, query: AuditQuery): Promise<readonly AuditEntry[]> {
  const rows = await db.execute<AuditRow>(listAuditStatement(db, query))
  return rows.map(({ id, workspace_id: workspaceId, key_id: keyId, action, actor, at, details }) =>
    ({ id, workspaceId, keyId, action, actor, at, details }))
}

export function listAuditStatement (db: Database, { workspaceId, keyId, actor, from, to, after, rowsMax }: AuditQuery): SQL {
  const conditions = [
    sql`audit.workspace_id = ${workspaceId}`,
    ...keyId === undefined ? [] : [sql`audit.key_id = ${keyId}::uuid`],
    ...actor === undefined ? [] : [sql`audit.actor = ${actor}`],
    ...from === undefined ? [] : [sql`audit.at >= ${boundary(from)}::timestamptz`],
    ...to === undefined ? [] : [sql`audit.at < ${boundary(to)}::timestamptz`],
    ...after === undefined ? [] : [sql`(audit.at, audit.id) < (${timestamp(after.at)}::timestamptz, ${after.id}::uuid)`]
  ]
  return sql`
    select id, workspace_id, key_id, action, actor, (extract(epoch from audit.at) * 1000)::float8 as at, details from ${db.tables.audit}
    where ${sql.join(conditions, sql` and `)}
    order by audit.at desc nulls last, audit.id desc nulls last
    limit ${rowsMax}`
}

/** Forgets some of the entries that are older than `days`; resolves to how many went. */
export async function pruneAudit (db: Database, { days, rowsMax }: UpkeepStep): Promise<number> {
  const { audit } = db.tables
  const gone = await db.execute(sql`
    delete from ${audit} where id in (
      select id from ${audit} where at < statement_timestamp() - ${days}::int * interval '1 day' order by at limit ${rowsMax} for update skip locked)
    returning 1`)
  return gone.length
}
