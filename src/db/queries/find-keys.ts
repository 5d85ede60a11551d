import { eq, sql, type Column, type SQL } from 'drizzle-orm'
import { digestFromBytes, type Digest, type KeyLimits, type KeyRecord } from '../../core/key-record.ts'
import { isScope } from '../../core/scopes.ts'
import { sealRecord } from '../../core/seal-record.ts'
import type { Database } from '../connect.ts'

interface Found {
  readonly asof: number
  readonly records: ReadonlyMap<Digest, KeyRecord>
}

/**
 * Reads keys by their digests, and the position of the revocation clock, in one statement: one snapshot, so the rows
 * show every change up to that position (R5). Prepared once on each connection.
 */
export function prepareFindKeys (db: Database): (digests: readonly Digest[]) => Promise<Found> {
  const { keys, revocationClock, tokens } = db.tables
  // As text, so that the driver need not know the array type, nor ask the server for it. In a subquery, so that it is
  // read once: as a bare expression a sequential scan reads it again for each row, 200 ms for 300 keys.
  const digests = sql`((select (${sql.placeholder('digests')}::text)::bytea[])::bytea[])`
  const statement = db
    .select({
      asof: revocationClock.seq,
      key: {
        id: keys.id,
        digest: tokens.digest,
        tokenEndsAt: milliseconds<number | null>(tokens.endsAt),
        graceSeconds: tokens.graceSeconds,
        workspaceId: keys.workspaceId,
        ownerId: keys.ownerId,
        name: keys.name,
        scope: keys.scope,
        metadata: keys.metadata,
        createdAt: milliseconds<number>(keys.createdAt),
        expiresAt: milliseconds<number | null>(keys.expiresAt),
        revokedAt: milliseconds<number | null>(keys.revokedAt),
        allowedCidrs: sql<string[] | null>`to_json(${keys.allowedCidrs})`,
        rateRequests: keys.rateRequests,
        rateWindowSeconds: keys.rateWindowSeconds
      }
    })
    .from(revocationClock)
    .leftJoin(tokens, sql`${tokens.digest} = any(${digests})`)
    .leftJoin(keys, eq(keys.id, tokens.keyId))
    .where(eq(revocationClock.id, 1))
    .prepare('navis_find_keys')

  return async (wanted) => {
    const rows = await statement.execute({ digests: byteaArray(wanted) })
    const [first] = rows
    // Without its clock the database cannot say anything about a key, least of all that there is none.
    if (first === undefined) throw new Error('The revocation clock is missing from the database.')
    const records = new Map<Digest, KeyRecord>()
    for (const { key } of rows) {
      if (key === null || key.digest === null) continue
      const record = recordOf(key as Row)
      records.set(record.digest, record)
    }
    return { asof: first.asof, records }
  }
}

interface Row {
  readonly id: string
  readonly digest: Buffer
  /** When this token ends although its key goes on. */
  readonly tokenEndsAt: number | null
  /** Not null: the first use of this token is awaited. */
  readonly graceSeconds: number | null
  readonly workspaceId: string
  readonly ownerId: string | null
  readonly name: string
  readonly scope: string
  readonly metadata: Record<string, string>
  readonly createdAt: number
  readonly expiresAt: number | null
  readonly revokedAt: number | null
  readonly allowedCidrs: readonly string[] | null
  readonly rateRequests: number | null
  readonly rateWindowSeconds: number | null
}

// As numbers, since texts would have to be read as dates, three a row.
function milliseconds<T extends number | null> (column: Column): SQL<T> {
  return sql`(extract(epoch from ${column}) * 1000)::float8`
}

function recordOf (row: Row): KeyRecord {
  if (!isScope(row.scope)) throw new Error('A key in the database has a scope that this version does not know.')
  return sealRecord({
    id: row.id,
    digest: digestFromBytes(row.digest),
    workspaceId: row.workspaceId,
    ownerId: row.ownerId,
    name: row.name,
    scope: row.scope,
    metadata: row.metadata,
    createdAt: row.createdAt,
    expiresAt: row.expiresAt,
    revokedAt: row.revokedAt,
    limits: limitsOf(row)
  })
}

function limitsOf ({ tokenEndsAt, graceSeconds, allowedCidrs, rateRequests, rateWindowSeconds }: Row): KeyLimits | null {
  if (tokenEndsAt === null && graceSeconds === null && allowedCidrs === null && rateRequests === null) return null
  const rateLimit = rateRequests === null || rateWindowSeconds === null ? null : { requests: rateRequests, windowSeconds: rateWindowSeconds }
  return { tokenEndsAt, allowedCidrs, rateLimit, awaitsFirstUse: graceSeconds !== null }
}

function byteaArray (digests: readonly Digest[]): string {
  return `{${digests.map((digest) => `\\\\x${Buffer.from(digest, 'latin1').toString('hex')}`).join(',')}}`
}
