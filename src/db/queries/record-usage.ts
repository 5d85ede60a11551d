import { sql } from 'drizzle-orm'
import type { Database } from '../connect.ts'

/**
 * Writes when keys were last used: `ages` are milliseconds ago, and the times are the database's, so that no other
 * clock decides. Never moves a time back. In the order of the ids, so that replicas that write the same keys at once
 * wait for each other and never deadlock (R14).
 */
export async function recordUsage (db: Database, ages: ReadonlyMap<string, number>): Promise<void> {
  const ids = `{${[...ages.keys()].join(',')}}`
  const milliseconds = `{${[...ages.values()].join(',')}}`
  await db.execute(sql`
    insert into ${db.tables.keyUsage} as stored (key_id, last_used_at)
    select used.key_id, clock_timestamp() - used.age * interval '1 millisecond'
    from unnest((${ids}::text)::uuid[], (${milliseconds}::text)::float8[]) as used (key_id, age)
    order by used.key_id
    on conflict (key_id) do update
      set last_used_at = greatest(stored.last_used_at, excluded.last_used_at)
      where stored.last_used_at < excluded.last_used_at`)
}
