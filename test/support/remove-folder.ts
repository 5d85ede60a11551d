import { existsSync, rmSync } from 'node:fs'
import { until } from './until.ts'

/**
 * Removes a folder with all that is in it. Once more while something is left: where a file goes away by itself at the same time, as those of a Postgres that
 * is ending, `rmSync` with `force` stops there and says nothing (Node 24).
 */
export async function removeFolder (folder: string): Promise<void> {
  await until(() => {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    return !existsSync(folder)
  }, { timeoutMs: 10_000 })
}
