import { sql } from 'drizzle-orm'
import type { Logger } from '../core/logger.ts'
import type { Database } from './connect.ts'
import { hasCode, isRefusedConnection } from './outage.ts'

/**
 * How a database tells which history it is of (R0), as SQL expressions of type text: both are read again in every statement that
 * decides something. Empty where a Postgres has none: lineage, beats and capped positions then carry the promise alone.
 */
export interface HistoryStrategy {
  /** Of the write-ahead log: another one after a standby was promoted, or a backup restored to a point in time. */
  readonly timeline: string
  /** Of the server process: another one wherever another server answers. */
  readonly serverStart: string
}

interface Expression {
  /** What the log calls it. */
  readonly name: string
  readonly text: string
}

const none: Expression = { name: 'none', text: "''" }
// A standby cannot read its current position, and its answer is refused anyway.
const onPrimary = (text: string) => `case when pg_is_in_recovery() then '' else ${text} end`
const timelineId = 'substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)'

/** The best first. Aurora has no position of a write-ahead log (55000), and a role may lack the right to look at the control file (42501). */
const timelines: readonly [Expression, ...Expression[]] = [
  { name: 'system identifier and timeline', text: onPrimary(`(select system_identifier from pg_control_system())::text || '/' || ${timelineId}`) },
  { name: 'timeline', text: onPrimary(`'/' || ${timelineId}`) },
  { name: 'system identifier', text: onPrimary('(select system_identifier from pg_control_system())::text || \'/\'') },
  none
]

const serverStarts: readonly [Expression, ...Expression[]] = [
  { name: 'start of the server', text: '(extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint::text' },
  none
]

/** PostgreSQL itself. */
export const standardHistory: HistoryStrategy = { timeline: timelines[0].text, serverStart: serverStarts[0].text }

// Not in a state to tell, no right to ask, no such function, not built in, no such column.
const untold = ['55000', '42501', '42883', '0A000', '42703', '42704']

/** Whether an error says that the database does not tell something, or not to this role. */
export function isUntold (error: unknown): boolean {
  return hasCode(error, ...untold) && !isRefusedConnection(error)
}

/** What the statements of all connections say at this moment: chosen by trying, when the service starts, and again when a statement finds that it no longer works. */
export class HistoryChoice {
  readonly #log: Logger
  #strategy = standardHistory
  #told: string | undefined

  constructor (log: Logger) {
    this.#log = log
  }

  get strategy (): HistoryStrategy {
    return this.#strategy
  }

  /** Rejects when the database does not answer. */
  async choose (db: Database): Promise<void> {
    const [timeline, serverStart] = [await firstThatWorks(db, timelines), await firstThatWorks(db, serverStarts)]
    this.#strategy = { timeline: timeline.text, serverStart: serverStart.text }
    const told = { timeline: timeline.name, serverStart: serverStart.name }
    if (this.#told === JSON.stringify(told)) return
    this.#told = JSON.stringify(told)
    const isWhole = timeline === timelines[0] && serverStart === serverStarts[0]
    this.#log[isWhole ? 'info' : 'warn'](told, isWhole ? 'the timeline of the database is known' : 'this role cannot read the whole timeline of the database: the lineage and the beats of the replicas show changes of it instead')
  }
}

async function firstThatWorks (db: Database, expressions: readonly Expression[]): Promise<Expression> {
  for (const expression of expressions) {
    try {
      await db.execute(sql.raw(`select ${expression.text} as value`))
      return expression
    } catch (error) {
      if (!isUntold(error)) throw error
    }
  }
  return none
}
