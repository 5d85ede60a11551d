import { migrate } from '../db/migrate.ts'

interface MigrateKeysOptions {
  /** The schema that holds every table. `navis_keys`. */
  readonly databaseSchema?: string | undefined
}

/**
 * Brings our schema in a database to the newest version, and touches nothing else in it: for a step of a deployment, under a role that may create
 * tables, before applications start with `migrate: false`. Safe to repeat, and to run several times at once.
 */
export async function migrateKeys (databaseUrl: string, { databaseSchema }: MigrateKeysOptions = {}): Promise<void> {
  await migrate(databaseUrl, { schema: databaseSchema })
}
