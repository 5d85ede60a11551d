import type { Sql } from 'postgres'
import { digestFromBytes } from '../../core/key-record.ts'
import type { ChangeTarget } from '../../core/lookup.ts'
import type { RenewalAnswer } from '../../core/window/state.ts'
import type { Renewal } from '../../core/window/store.ts'

type LogRow = [seq: number, action: 'revoke' | 'change', digest: string | null, workspaceId: string | null]

interface Answer {
  alive: boolean
  seq: number
  timeline: string
  database_time: number
  rows: LogRow[]
}

/**
 * Renews a membership and reads the log, in one statement and so at one moment (R3). A write on purpose: a primary
 * that has been replaced, or whose standby does not answer, cannot commit it. Nothing is acknowledged across a
 * change of the timeline, where the same position may mean another change.
 */
export async function renewWindow (sql: Sql, schema: string, { id, applied, acked, timeline, rowsMax }: Renewal): Promise<RenewalAnswer> {
  const [answer] = await sql<[Answer]>`
    with present as materialized (
      select seq, (select system_identifier from pg_control_system())::text || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) as timeline
      from ${sql(schema)}.revocation_clock where id = 1
    ), mine as (
      update ${sql(schema)}.window_members set
        renewals = renewals + 1,
        acked = case when present.timeline = ${timeline ?? null}::text
          then greatest(acked, least(${acked}::bigint, present.seq)) else acked end
      from present where window_members.id = ${id}::uuid and dead_at is null
      returning 1
    )
    select exists (select from mine) as alive, seq::float8, timeline,
      extract(epoch from clock_timestamp())::float8 * 1000 as database_time,
      coalesce((
        select json_agg(json_build_array(newest.seq, action, case when cardinality(digests) = 1 then encode(digests[1], 'hex') end, workspace_id) order by newest.seq)
        from (select * from ${sql(schema)}.revocation_log where revocation_log.seq > ${applied}::bigint order by seq desc limit ${rowsMax}) newest
      ), '[]') as rows
    from present`
  const { alive, seq, database_time: databaseTime, rows } = answer
  return {
    alive,
    seq,
    timeline: answer.timeline,
    databaseTime,
    rows: rows.map(([position, action, digest, workspaceId]) => ({ seq: position, action, target: targetOf(digest, workspaceId) }))
  }
}

function targetOf (digest: string | null, workspaceId: string | null): ChangeTarget {
  if (digest !== null) return { kind: 'key', digest: digestFromBytes(Buffer.from(digest, 'hex')) }
  return workspaceId === null ? { kind: 'everything' } : { kind: 'workspace', workspaceId }
}
