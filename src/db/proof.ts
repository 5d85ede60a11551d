import { Buffer } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import { sql, type SQL } from 'drizzle-orm'
import type { Row } from 'postgres'
import { digestFromBytes, type Digest } from '../core/key-record.ts'
import type { ChangeTarget } from '../core/lookup.ts'
import { placeOf, type History } from '../core/window/judge.ts'
import { AnswerRefused } from '../core/window/store.ts'
import type { LoggedChange } from '../core/window/trust.ts'
import type { LogPosition } from '../core/key-store.ts'
import type { Database } from './connect.ts'

/*
 * Answers prove themselves (R10). A driver or a pooler that mixes answers up, a standby that still takes connections, an answer of which a
 * part is missing: none of these may look like "all have acknowledged" or "there is no such key". So each statement that decides something
 * returns exactly one row with one text column, `answer`: a JSON object with the nonce that was sent and the role of the server. What
 * is not of the type and range that it has to be makes the whole answer one that is not known.
 */

/** The server that answered is not the primary, whatever else it says. */
export class NotPrimary extends AnswerRefused {
  constructor (why = 'the server is not the primary') {
    super(why)
    this.name = 'NotPrimary'
  }
}

/** What every statement that decides something has in its JSON. */
export function proofColumns (nonce: string): string {
  return `'nonce', ${uuid(nonce)}, 'primary', not pg_is_in_recovery()`
}

/**
 * The same for a statement that writes. Its commit waits for the disk, and for synchronous standbys, whatever the server, the role or a pooler has made of the
 * session: the setting is made in the statement itself, for its own transaction, and is read when that commits.
 */
export function durableProofColumns (nonce: string): string {
  return `${proofColumns(nonce)}, 'synchronous_commit', ${makeDurable}`
}

const makeDurable = "set_config('synchronous_commit', 'on', true)"

/** The first statement of a transaction that has to be kept and has no answer that proves itself. */
export const durably = `select ${makeDurable}`

/** The answer of the statement that was sent with this nonce; throws `AnswerRefused` for anything else. */
export function provenAnswer (rows: readonly Row[], nonce: string): Answer {
  const [row] = rows
  if (rows.length !== 1 || row === undefined || typeof row.answer !== 'string' || Object.keys(row).length !== 1) throw new AnswerRefused('it is not one row with one answer')
  const answer = Answer.parse(row.answer)
  if (answer.text('nonce') !== nonce) throw new AnswerRefused('it is the answer to another statement')
  if (!answer.boolean('primary')) throw new NotPrimary()
  return answer
}

/** Members of a JSON object from the database, each checked for its type and range when it is read. */
export class Answer {
  readonly #members: Readonly<Record<string, unknown>>

  constructor (members: unknown) {
    if (typeof members !== 'object' || members === null || Array.isArray(members)) throw new AnswerRefused('it is not an object')
    this.#members = members as Record<string, unknown>
  }

  static parse (text: string): Answer {
    let members: unknown
    try {
      members = JSON.parse(text)
    } catch {
      throw new AnswerRefused('it is not JSON')
    }
    return new Answer(members)
  }

  text (name: string): string {
    const value = this.#members[name]
    if (typeof value !== 'string') throw wrong(name)
    return value
  }

  textOrNull (name: string): string | undefined {
    return this.#members[name] === null ? undefined : this.text(name)
  }

  boolean (name: string): boolean {
    const value = this.#members[name]
    if (typeof value !== 'boolean') throw wrong(name)
    return value
  }

  /** A position in the log, a count, a number of milliseconds: whole and not negative. */
  whole (name: string): number {
    return asWhole(this.#members[name], name)
  }

  /** Any number of milliseconds that there can be. */
  time (name: string): number {
    const value = this.#members[name]
    if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) throw wrong(name)
    return value
  }

  list (name: string): readonly unknown[] {
    const value = this.#members[name]
    if (!Array.isArray(value)) throw wrong(name)
    return value
  }

  history (): History {
    return { lineage: this.text('lineage'), former: this.textOrNull('former'), timeline: this.text('timeline'), serverStart: this.text('server_start') }
  }

  /** As `placeOf` tells it. */
  place (): string {
    return placeOf({ timeline: this.text('timeline'), serverStart: this.text('server_start') })
  }

  /** Rows of the log, `[seq, action, digests, workspace id]`, oldest first. */
  changes (name: string): LoggedChange[] {
    let before = 0
    return this.list(name).map((row) => {
      if (!Array.isArray(row) || row.length !== 4) throw wrong(name)
      const [seq, action, digests, workspaceId] = row as unknown[]
      if (asWhole(seq, name) <= before || (action !== 'revoke' && action !== 'change')) throw wrong(name)
      before = seq as number
      return { seq: before, action, target: targetOf(digests, workspaceId, name) }
    })
  }

  digests (name: string): Digest[] {
    return this.list(name).map((digest) => asDigest(digest, name))
  }
}

/**
 * A change of a key, by one statement that answers with exactly one row: a key that is not there is a row that says so. `statement` puts `proof` first
 * among the columns that it selects. Throws `AnswerRefused` for an answer that does not prove itself: the change was made, or not.
 */
export async function provenChange<R extends object> (db: Pick<Database, 'execute'>, statement: (proof: SQL) => SQL): Promise<R> {
  const row = await provenRead<R & { synchronous_commit: unknown }>(db, (proof) => statement(sql`${proof}, ${sql.raw(makeDurable)} as synchronous_commit`))
  if (row.synchronous_commit !== 'on') throw wrong('synchronous_commit')
  return row
}

/** The same for a statement that writes nothing. */
export async function provenRead<R extends object> (db: Pick<Database, 'execute'>, statement: (proof: SQL) => SQL): Promise<R> {
  const nonce = randomUUID()
  const rows: ReadonlyArray<Record<string, unknown>> = await db.execute(statement(sql`${nonce}::text as nonce, not pg_is_in_recovery() as is_primary`))
  const [row] = rows
  if (rows.length !== 1 || row === undefined) throw new AnswerRefused('it is not one row')
  if (row['nonce'] !== nonce) throw new AnswerRefused('it is the answer to another statement')
  if (row['is_primary'] !== true) throw new NotPrimary()
  return row as R
}

/** Where a change stands in the log: columns `seq` and `window_ms`, of type float8 and int. */
export function asPosition ({ seq, window_ms: windowMs }: { readonly seq: unknown, readonly window_ms: unknown }): LogPosition {
  const position = asWhole(seq, 'seq')
  if (position === 0) throw wrong('seq')
  return { seq: position, windowMs: asWhole(windowMs, 'window_ms') }
}

export function asDigests (value: unknown): Digest[] {
  if (!Array.isArray(value)) throw wrong('digests')
  return value.map((digest) => asDigest(digest, 'digests'))
}

export function asWhole (value: unknown, name: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw wrong(name)
  return value as number
}

export function asText (value: unknown, name: string): string {
  if (typeof value !== 'string') throw wrong(name)
  return value
}

export function asDigest (value: unknown, name: string): Digest {
  if (typeof value !== 'string' || !/^[0-9a-f]{64}$/.test(value)) throw wrong(name)
  return digestFromBytes(Buffer.from(value, 'hex'))
}

export function wrong (name: string): AnswerRefused {
  return new AnswerRefused(`"${name}" is not what it has to be`)
}

function targetOf (digests: unknown, workspaceId: unknown, name: string): ChangeTarget {
  if (Array.isArray(digests) && digests.length > 0 && workspaceId === null) return { kind: 'key', digests: digests.map((digest) => asDigest(digest, name)) }
  if (digests !== null) throw wrong(name)
  return workspaceId === null ? { kind: 'everything' } : { kind: 'workspace', workspaceId: asText(workspaceId, name) }
}

/*
 * Values as literals: a statement without parameters needs one round trip where the driver takes two for one that is not prepared on the
 * server, and statements that can overlap are not prepared (docs/decisions/0066).
 */

export function uuid (text: string): string {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)) throw new TypeError('This is not a UUID.')
  return `'${text}'::uuid`
}

export function uuids (texts: readonly string[]): string {
  return texts.length === 0 ? "'{}'::uuid[]" : `array[${texts.map(uuid).join(',')}]`
}

export function integer (value: number): string {
  if (!Number.isSafeInteger(value)) throw new TypeError('This is not a whole number.')
  return `${value}::bigint`
}

/** Each 32 bytes as hexadecimal digits, so that no digest can end the literal. */
export function byteas (digests: readonly Digest[]): string {
  return `'{${digests.map((digest) => `"\\\\x${Buffer.from(digest, 'latin1').toString('hex')}"`).join(',')}}'::bytea[]`
}
