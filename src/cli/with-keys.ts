import type { Config } from '../config/config.ts'
import { keysOptionsOf } from '../engine/keys-options-of.ts'
import { silentLogger } from '../core/logger.ts'
import { openKeys, type Keys } from '../engine/open-keys.ts'
import { openDatabase } from './open-database.ts'

interface Options {
  readonly mayBeNew: boolean
}

/** Runs `use` with an engine on the configured database, and always closes both. */
export async function withKeys<T> (config: Config, { mayBeNew }: Options, act: (keys: Keys) => Promise<T>): Promise<T> {
  const database = await openDatabase(config, { mayBeNew })
  try {
    const keys = await openKeys({ ...keysOptionsOf({ ...config, databaseUrl: database.url }), retention: undefined, log: silentLogger })
    try {
      return await act(keys)
    } finally {
      await keys.close()
    }
  } finally {
    await database.close()
  }
}
