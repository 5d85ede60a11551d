import { sql } from 'drizzle-orm'
import type { Person } from '../../core/person.ts'
import type { SessionLimits } from '../../core/sessions.ts'
import type { Database } from '../connect.ts'

/** Also forgets sessions that are over: there are never more than people have started within one lifetime. */
export async function startSession (db: Database, digest: Buffer, { person, limits, credential }: { person: Person, limits: SessionLimits, credential: Buffer | undefined }): Promise<void> {
  const { workspaceId, ownerId, name, actor, admin } = person
  await db.execute(sql`
    with forgotten as (delete from ${db.tables.sessions} where ends_at < clock_timestamp())
    insert into ${db.tables.sessions} (digest, workspace_id, owner_id, person_name, actor, admin, credential, ends_at)
    values (${digest}, ${workspaceId}, ${ownerId}, ${name}, ${actor}, ${admin}, ${credential ?? null}, clock_timestamp() + ${limits.lifetimeMs}::float8 * interval '1 millisecond')`)
}
