import type { Config } from '../config/config.ts'
import { migrate } from '../db/migrate.ts'
import { openDatabase } from './open-database.ts'
import type { Terminal } from './terminal.ts'

export async function migrateDatabase (config: Config, { json }: { readonly json?: true }, terminal: Terminal): Promise<void> {
  const database = await openDatabase(config, { mayBeNew: true })
  try {
    await migrate(database.url, { schema: config.databaseSchema })
  } finally {
    await database.close()
  }
  if (json) terminal.writeOut('{"migrated": true}\n')
  else terminal.writeError('The database is at the newest schema.\n')
}
