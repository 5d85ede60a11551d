import { existsSync } from 'node:fs'
import type { Config } from '../config/config.ts'
import { runningEmbeddedUrl, startEmbedded } from '../db/embedded/embedded.ts'
import { migrateEmbedded } from '../db/embedded/migrate-embedded.ts'

export interface OpenDatabase {
  readonly url: string
  close (): Promise<void>
}

/** The data folder does not exist. Most likely the settings are wrong. */
class NoData extends Error {
  constructor (folder: string) {
    super(`There is no data in ${folder}. Set DATABASE_URL to the service's database, or DATA_DIR to its data folder.`)
    this.name = 'NoData'
  }
}

interface Options {
  /** Whether to create a data folder that does not exist. */
  readonly mayBeNew: boolean
}

/**
 * Opens the database of the settings. An embedded one is reached through the service that runs on it; if none runs, it is
 * started here. Either way its schema is the newest.
 */
export async function openDatabase ({ databaseUrl, databaseSchema, dataDir }: Config, { mayBeNew }: Options): Promise<OpenDatabase> {
  if (databaseUrl !== undefined) return borrowed(databaseUrl)
  const running = await runningEmbeddedUrl(dataDir)
  if (running !== undefined) return borrowed(running)
  if (!mayBeNew && !existsSync(dataDir)) throw new NoData(dataDir)
  const embedded = await startEmbedded({ dataDir })
  try {
    await migrateEmbedded(embedded.url, databaseSchema)
  } catch (error) {
    await embedded.stop()
    throw error
  }
  return { url: embedded.url, close: async () => { await embedded.stop() } }
}

function borrowed (url: string): OpenDatabase {
  return { url, close: async () => {} }
}
