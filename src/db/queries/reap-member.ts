import type { Sql } from 'postgres'

/** Marks a member dead unless it has renewed since `renewals` was read; its next renewal then finds no row (R11). */
export async function reapMember (sql: Sql, schema: string, { id, renewals }: { readonly id: string, readonly renewals: number | undefined }): Promise<boolean> {
  const reaped = await sql`
    update ${sql(schema)}.window_members set dead_at = clock_timestamp()
    where id = ${id}::uuid and dead_at is null and (${renewals ?? null}::bigint is null or renewals = ${renewals ?? null}::bigint)`
  return reaped.count === 1
}
