import { setTimeout as sleep } from 'node:timers/promises'
import { KeysError } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import { isOutage } from './outage.ts'
import { refusedConnection, UnfitDatabase } from './unfit-database.ts'

interface BootOptions<T> {
  /** Brings the database to the newest schema; repeated with `open` until both are done. */
  readonly migrate: () => Promise<void>
  /** Opens what stands on it. */
  readonly open: () => Promise<T>
  readonly log: Logger
  readonly signal: AbortSignal
}

const retryMs = 1000
const repeatEveryMs = 60_000

const withoutRights = 'The user in DATABASE_URL may not create what the service needs. docs/postgres.md lists the rights that it needs.'

const reasons: Readonly<Record<string, string>> = {
  53300: 'Postgres has no free connection: raise max_connections on the server (or the role’s CONNECTION LIMIT), or lower DATABASE_CONNECTIONS_MAX or the number of replicas',
  '57P03': 'Postgres is starting or recovering'
}

/** Migrates and opens the database as soon as it can be reached, however long that takes; rejects at once when waiting does not help. */
export async function bootDatabase<T> ({ migrate, open, log, signal }: BootOptions<T>): Promise<T> {
  const beganAt = performance.now()
  let told: { readonly code: string, readonly at: number } | undefined
  for (;;) {
    try {
      await migrate()
      const opened = await open()
      if (told !== undefined) log.info({ waitedMs: Math.round(performance.now() - beganAt) }, 'Postgres answers')
      return opened
    } catch (error) {
      signal.throwIfAborted()
      const code = codeOf(error) ?? 'no answer'
      if (!isAway(error)) throw refusedConnection(error) ?? (code === '42501' ? new UnfitDatabase(withoutRights) : error)
      // Once for each cause, and then once a minute: the retries are not news.
      if (told?.code !== code || performance.now() >= told.at + repeatEveryMs) {
        log.warn({ code }, `${reasons[code] ?? 'Postgres cannot be reached'}; trying again every second`)
        told = { code, at: performance.now() }
      }
      await sleep(retryMs, undefined, { signal })
    }
  }
}

// `unavailable` means that the start may be tried again.
function isAway (error: unknown): boolean {
  return isOutage(error) || (error instanceof KeysError && error.code === 'unavailable')
}

function codeOf (error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (!(cause instanceof KeysError) && 'code' in cause && typeof cause.code === 'string') return cause.code
  }
  return undefined
}
