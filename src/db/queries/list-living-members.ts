import type { Sql } from 'postgres'
import type { Member } from '../../core/window/waits.ts'

interface Row {
  id: string
  acked: number
  renewals: number
  window_ms: number
}

export async function listLivingMembers (sql: Sql, schema: string): Promise<Member[]> {
  const rows = await sql<Row[]>`
    select id, acked::float8, renewals::float8, window_ms from ${sql(schema)}.window_members where dead_at is null`
  return rows.map(({ id, acked, renewals, window_ms: windowMs }) => ({ id, acked, renewals, windowMs }))
}
