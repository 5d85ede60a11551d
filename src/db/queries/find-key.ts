import { sql } from 'drizzle-orm'
import type { ManagedKey } from '../../core/key-record.ts'
import type { Database } from '../connect.ts'
import { managedKeyColumns, toManagedKey, type ManagedKeyRow } from './managed-key.ts'

export async function findKey (db: Database, workspaceId: string, keyId: string): Promise<ManagedKey | undefined> {
  const [row] = await db.execute<ManagedKeyRow>(sql`
    select ${managedKeyColumns(db)} from ${db.tables.keys} where keys.id = ${keyId}::uuid and keys.workspace_id = ${workspaceId}`)
  return row === undefined ? undefined : toManagedKey(row)
}
