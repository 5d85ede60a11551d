import { connect } from '../connect.ts'
import { migrate } from '../migrate.ts'
import { clearMembers } from '../queries/window.ts'

/**
 * Migrates the embedded database of a data folder that this process has just locked. Whoever was a member before has
 * ended with the process that had the folder, perhaps without a word: no change has to wait for them.
 */
export async function migrateEmbedded (url: string, databaseSchema?: string): Promise<void> {
  await migrate(url, { schema: databaseSchema })
  const { sql, schema, close } = connect({ url, max: 1, ...databaseSchema !== undefined && { schema: databaseSchema } })
  try {
    await clearMembers(sql, schema)
  } finally {
    await close()
  }
}
