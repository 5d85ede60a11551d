import { unavailable } from '../core/errors.ts'
import type { Person } from '../core/person.ts'
import type { SessionStore } from '../core/sessions.ts'
import { inTime } from '../core/in-time.ts'
import type { Database } from './connect.ts'
import { isAway } from './outage.ts'
import { endSession } from './queries/end-session.ts'
import { startSession } from './queries/start-session.ts'
import { useSession } from './queries/use-session.ts'
import type { Pool } from './replaceable-pool.ts'

const answerMs = 1500
const drainMs = 1500

/** Sessions in Postgres: every replica knows them, and signing out is at once and everywhere. Bounded in time; what comes out of an outage is `unavailable`. */
export class PostgresSessionStore implements SessionStore {
  readonly #pool: Pool<Database>

  constructor (pool: Pool<Database>) {
    this.#pool = pool
  }

  async start (digest: Buffer, person: Person, { limits, credential }: Parameters<SessionStore['start']>[2]): Promise<void> {
    await this.#answered((db) => startSession(db, digest, { person, limits, credential }))
  }

  async use (digest: Buffer, validity: Parameters<SessionStore['use']>[1]): Promise<Person | undefined> {
    return await this.#answered((db) => useSession(db, digest, validity))
  }

  async end (digest: Buffer): Promise<void> {
    await this.#answered((db) => endSession(db, digest))
  }

  async #answered<T> (ask: (db: Database) => Promise<T>): Promise<T> {
    let late = false
    try {
      return await inTime(ask(this.#pool.queries), answerMs, () => {
        late = true
        this.#pool.replace(drainMs)
      })
    } catch (error) {
      throw late || isAway(error) ? unavailable('The database is away.', error) : error
    }
  }
}
