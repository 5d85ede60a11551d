import { migrate } from '../db/migrate.ts'

interface MigrateKeysOptions {
  /** The schema that holds every table. `navis_keys`. */
  readonly databaseSchema?: string | undefined
}

/**
 * Updates our schema to the newest version and touches nothing else in the database. For a deployment step, under a role that may create
 * tables, before applications start with `migrate: false`. Safe to repeat and to run concurrently.
 */
export async function migrateKeys (databaseUrl: string, { databaseSchema }: MigrateKeysOptions = {}): Promise<void> {
  await migrate(databaseUrl, { schema: databaseSchema })
}
