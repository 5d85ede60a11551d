import type { Config } from '../config/config.ts'
import { migrate } from '../db/migrate.ts'
import { openDatabase } from './open-database.ts'

export async function migrateDatabase (config: Config, { json }: { readonly json?: true }): Promise<void> {
  const database = await openDatabase(config, { mayBeNew: true })
  try {
    await migrate(database.url)
  } finally {
    await database.close()
  }
  if (json) process.stdout.write('{"migrated": true}\n')
  else process.stderr.write('The database is at the newest schema.\n')
}
