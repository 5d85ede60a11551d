import { existsSync } from 'node:fs'
import type { Config } from '../config/config.ts'
import { runningEmbeddedUrl, startEmbedded } from '../db/embedded/embedded.ts'
import { migrateEmbedded } from '../db/embedded/migrate-embedded.ts'

export interface OpenDatabase {
  readonly url: string
  close (): Promise<void>
}

/** There is no data where the settings point. Most likely they point to the wrong place. */
export class NoData extends Error {
  constructor (folder: string) {
    super(`There is no data in ${folder}. Set DATABASE_URL to the service's database, or DATA_DIR to its data folder.`)
    this.name = 'NoData'
  }
}

interface Options {
  /** Whether a data folder may be made where there is none. */
  readonly mayBeNew: boolean
}

/**
 * The database that the settings name. An embedded one is reached through the service that runs on it, or opened here
 * while none does; either way it is at the newest schema.
 */
export async function openDatabase ({ databaseUrl, dataDir }: Config, { mayBeNew }: Options): Promise<OpenDatabase> {
  if (databaseUrl !== undefined) return borrowed(databaseUrl)
  const running = await runningEmbeddedUrl(dataDir)
  if (running !== undefined) return borrowed(running)
  if (!mayBeNew && !existsSync(dataDir)) throw new NoData(dataDir)
  const embedded = await startEmbedded({ dataDir })
  try {
    await migrateEmbedded(embedded.url)
  } catch (error) {
    await embedded.stop()
    throw error
  }
  return { url: embedded.url, close: async () => { await embedded.stop() } }
}

function borrowed (url: string): OpenDatabase {
  return { url, close: async () => {} }
}
