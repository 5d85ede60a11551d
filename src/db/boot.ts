import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../core/logger.ts'
import { migrate, UnfitDatabase } from './migrate.ts'
import { isOutage } from './outage.ts'

interface BootOptions {
  readonly url: string
  readonly log: Logger
  readonly signal: AbortSignal
  /** 60000 */
  readonly timeoutMs?: number
}

const retryMs = 1000

// What waiting does not mend, by SQLSTATE, for whoever set DATABASE_URL.
const advice: Readonly<Record<string, string>> = {
  '28P01': 'Postgres refuses the user or the password in DATABASE_URL. Check both.',
  28000: 'Postgres does not let the user in DATABASE_URL in. Check the user, and pg_hba.conf on the server.',
  '3D000': 'The database that DATABASE_URL names does not exist. Create it, for example with createdb.',
  42501: 'The user in DATABASE_URL may not create what the service needs. Make it the owner of the database.'
}

/** Migrates the database as soon as it can be reached; waits for it for a minute, and not at all when waiting does not help. */
export async function bootDatabase ({ url, log, signal, timeoutMs = 60_000 }: BootOptions): Promise<void> {
  const end = performance.now() + timeoutMs
  for (;;) {
    try {
      await migrate(url)
      return
    } catch (error) {
      signal.throwIfAborted()
      const code = codeOf(error)
      if (!isOutage(error)) throw code !== undefined && code in advice ? new UnfitDatabase(advice[code] as string) : error
      if (performance.now() > end) {
        throw new UnfitDatabase(`Postgres could not be reached for ${Math.round(timeoutMs / 1000)} seconds (${code}). Check that it runs, and the host and port in DATABASE_URL.`)
      }
      log.warn({ code }, 'Postgres cannot be reached; trying again every second')
      await sleep(retryMs, undefined, { signal })
    }
  }
}

function codeOf (error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && typeof cause.code === 'string') return cause.code
  }
  return undefined
}
