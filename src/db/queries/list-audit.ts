import { sql, type SQL } from 'drizzle-orm'
import type { AuditEntry, AuditQuery } from '../../core/key-store.ts'
import type { Database } from '../connect.ts'
import { timestamp } from './managed-key.ts'

interface AuditRow {
  id: string
  workspace_id: string
  key_id: string | null
  action: string
  actor: string
  at: number
  details: Record<string, string | number | null>
  [column: string]: unknown
}

export async function listAudit (db: Database, query: AuditQuery): Promise<readonly AuditEntry[]> {
  const rows = await db.execute<AuditRow>(listAuditStatement(db, query))
  return rows.map(({ id, workspace_id: workspaceId, key_id: keyId, action, actor, at, details }) =>
    ({ id, workspaceId, keyId, action, actor, at, details }))
}

export function listAuditStatement (db: Database, { workspaceId, after, rowsMax }: AuditQuery): SQL {
  const behind = after === undefined ? sql`true` : sql`(audit.at, audit.id) < (${timestamp(after.at)}::timestamptz, ${after.id}::uuid)`
  return sql`
    select id, workspace_id, key_id, action, actor, (extract(epoch from audit.at) * 1000)::float8 as at, details from ${db.tables.audit}
    where workspace_id = ${workspaceId} and ${behind}
    order by audit.at desc nulls last, audit.id desc nulls last
    limit ${rowsMax}`
}
