import { unavailable } from '../core/errors.ts'
import type { Person } from '../core/person.ts'
import type { SessionLimits, SessionStore } from '../core/sessions.ts'
import type { Database } from './connect.ts'
import { isOutage } from './outage.ts'
import { endSession } from './queries/end-session.ts'
import { startSession } from './queries/start-session.ts'
import { useSession } from './queries/use-session.ts'

const patienceMs = 3000

/** Sessions in Postgres: every replica knows them, and signing out is at once and everywhere. */
export class PostgresSessionStore implements SessionStore {
  readonly #db: Database

  constructor (db: Database) {
    this.#db = db
  }

  async start (digest: Buffer, person: Person, limits: SessionLimits): Promise<void> {
    await answered(startSession(this.#db, digest, { person, limits }))
  }

  async use (digest: Buffer, limits: SessionLimits): Promise<Person | undefined> {
    return await answered(useSession(this.#db, digest, limits))
  }

  async end (digest: Buffer): Promise<void> {
    await answered(endSession(this.#db, digest))
  }
}

async function answered<T> (query: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => { reject(unavailable('The database did not answer in time.')) }, patienceMs)
  })
  try {
    return await Promise.race([query, late])
  } catch (error) {
    throw isOutage(error) ? unavailable('The database is away.', error) : error
  } finally {
    clearTimeout(timer)
  }
}
