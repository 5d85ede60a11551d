import { sql, type SQL } from 'drizzle-orm'
import { unavailable } from '../../core/errors.ts'
import type { ChangedKey, KeyChange } from '../../core/key-store.ts'
import type { Database } from '../connect.ts'
import { asDigests, asPosition, provenChange } from '../proof.ts'
import { toManagedKey, type ManagedKeyRow } from './managed-key.ts'

/*
 * Parts of the statements that change one key. Each change is one statement, hence one transaction that no stopped process can hold open:
 *
 *   target   the key's row, locked, with the tokens that caches may hold of it
 *   judged   what is to be done, decided on the row as it is then
 *   tick     the clock's row, locked last, here as in every change
 *   logged   the place in the revocation log
 */

/**
 * A statement that waited for the row's lock sees the key as it is then, but the tokens as they were when it began: another rotation may have
 * gone ahead. `is_whole` tells; where it is false nothing may be done, and the statement is to be repeated.
 */
export function lockedKey ({ tables }: Database, { workspaceId, keyId }: Pick<KeyChange, 'workspaceId' | 'keyId'>): SQL {
  return sql`target as materialized (
      select keys.*,
        array(
          select tokens.digest from ${tables.tokens} where tokens.key_id = keys.id and ${mayBeCached({ tables })}
          order by tokens.is_current desc, tokens.digest
        ) as digests,
        ${isWhole({ tables })} as is_whole
      from ${tables.keys} where keys.id = ${keyId}::uuid and keys.workspace_id = ${workspaceId} for update
    )`
}

/**
 * Whether a replica may still accept a token from its cache: it lives; or it ended so recently that a replica which has not heard of it can have its window open. The answer to the
 * change that ended it may have been lost, and then nobody has waited for it: who repeats it, or revokes the key, waits for that token too.
 */
export function mayBeCached ({ tables }: Pick<Database, 'tables'>): SQL {
  return sql`(tokens.is_current or tokens.ends_at > clock_timestamp() - (select 2 * window_ms + 1000 from ${tables.revocationClock} where id = 1) * interval '1 millisecond')`
}

export function isWhole ({ tables }: Pick<Database, 'tables'>): SQL {
  return sql`(keys.rotated_at is null or exists (
          select from ${tables.tokens} where tokens.key_id = keys.id and tokens.is_current and tokens.made_at = keys.rotated_at
        ))`
}

/** Takes the next position of the clock where `outcome` of `judged` is one of these, and writes the tokens of `judged` into the log there. */
export function logChange ({ tables }: Database, action: 'revoke' | 'change', outcomes: readonly string[]): SQL {
  const list = sql.join(outcomes.map((outcome) => sql`${outcome}`), sql`, `)
  return sql`tick as (
      update ${tables.revocationClock} set seq = seq + 1 from judged where revocation_clock.id = 1 and judged.outcome in (${list}) returning seq, window_ms
    ), logged as (
      insert into ${tables.revocationLog} (seq, action, digests) select tick.seq, ${action}, judged.digests from tick, judged
    )`
}

export interface ChangedRow extends ManagedKeyRow {
  /** null: there is no such key. */
  outcome: string | null
  /** As hexadecimal text: the driver does not know the array type. */
  digests: unknown
  seq: unknown
  window_ms: unknown
}

/** What each of these statements answers of `judged` and `tick`, beside the key itself. */
export const changedColumns = sql`judged.outcome, (select coalesce(json_agg(encode(digest, 'hex')), '[]') from unnest(judged.digests) as digest) as digests, ${positionColumns()}`

/** Where `tick` put the change. */
export function positionColumns (): SQL {
  return sql`tick.seq::float8 as seq, tick.window_ms`
}

/** What these statements select from: one row, whether there is such a key or not. */
export const judgedOrMissing = sql`(select 1) as statement left join judged on true left join tick on true`

export function toChangedKey (row: ChangedRow): ChangedKey {
  return { key: toManagedKey(row), digests: asDigests(row.digests), logged: asPosition(row) }
}

// In each round another rotation of the same key has succeeded, and as many wait as there are connections: the last of ten waits for nine.
const roundsMax = 50

/** Runs a statement again where another rotation went ahead of it. */
export async function whenWhole<R extends { outcome: string | null }> (db: Database, statement: (proof: SQL) => SQL): Promise<R> {
  for (let round = 0; round < roundsMax; round++) {
    const row = await provenChange<R>(db, statement)
    if (row.outcome !== 'again') return row
  }
  throw unavailable('Other rotations of the key came first each time, and this change was not made. Try again.')
}
