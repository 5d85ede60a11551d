import { sql } from 'drizzle-orm'
import type { Person } from '../../core/person.ts'
import type { SessionStore } from '../../core/sessions.ts'
import type { Database } from '../connect.ts'

interface Row {
  workspace_id: string
  owner_id: string | null
  person_name: string
  actor: string
  admin: boolean
  [column: string]: unknown
}

/** Both limits by the database's clock, which all replicas share. A session ends with the management token that opened it. */
export async function useSession (db: Database, digest: Buffer, { limits, credentials }: Parameters<SessionStore['use']>[1]): Promise<Person | undefined> {
  const [row] = await db.execute<Row>(sql`
    update ${db.tables.sessions} set seen_at = clock_timestamp()
    where digest = ${digest} and ends_at > clock_timestamp() and seen_at > clock_timestamp() - ${limits.idleMs}::float8 * interval '1 millisecond'
    and (credential is null or encode(credential, 'hex') = any(string_to_array(${credentials.map((one) => one.toString('hex')).join(',')}, ',')))
    returning workspace_id, owner_id, person_name, actor, admin`)
  return row && { workspaceId: row.workspace_id, ownerId: row.owner_id, name: row.person_name, actor: row.actor, admin: row.admin }
}
