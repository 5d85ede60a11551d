import { randomUUID } from 'node:crypto'
import { getTableConfig } from 'drizzle-orm/pg-core'
import type { Sql } from 'postgres'
import type { Digest, KeyLimits, KeyRecord } from '../../core/key-record.ts'
import { isScope } from '../../core/scopes.ts'
import { freezeRecord } from '../../core/frozen-record.ts'
import type { Database } from '../connect.ts'
import { standardHistory, type HistoryStrategy } from '../history.ts'
import { asDigest, asText, byteas, proofColumns, provenAnswer, wrong } from '../proof.ts'

interface Found {
  readonly seq: number
  readonly place: string
  readonly records: ReadonlyMap<Digest, KeyRecord>
}

/**
 * Reads keys by their digests, the position of the revocation clock, and which history the database is of, in one statement. The function `find_keys` of our
 * schema takes its snapshot after the statement has, so the rows show every change up to that position (R5), or more. A key that is not there is a row that
 * says so: an answer with a row less is refused, and never reads as "no such key" (R10).
 */
export function prepareFindKeys (db: Database, historyOf: () => HistoryStrategy = () => standardHistory): (digests: readonly Digest[]) => Promise<Found> {
  const { schema } = getTableConfig(db.tables.revocationClock)
  const sql: Sql = (db as unknown as { readonly $client: Sql }).$client
  return async (wanted) => {
    const [nonce, history] = [randomUUID(), historyOf()]
    const answer = provenAnswer(await sql.unsafe(`
      select json_build_object(
        ${proofColumns(nonce)}, 'seq', seq, 'timeline', ${history.timeline}, 'server_start', ${history.serverStart},
        'keys', "${schema}".find_keys(${byteas(wanted)})
      )::text as answer
      from "${schema}".revocation_clock where id = 1`), nonce)
    const rows = answer.list('keys')
    if (rows.length !== wanted.length) throw wrong('keys')
    const records = new Map<Digest, KeyRecord>()
    for (const [i, row] of rows.entries()) {
      if (row === null) continue
      const record = recordOf(row)
      if (record.digest !== wanted[i]) throw wrong('digest')
      records.set(record.digest, record)
    }
    return { seq: answer.whole('seq'), place: answer.place(), records }
  }
}

function recordOf (row: unknown): KeyRecord {
  if (!Array.isArray(row) || row.length !== 15) throw wrong('keys')
  const [digest, id, workspaceId, ownerId, name, scope, metadata, createdAt, expiresAt, revokedAt, tokenEndsAt, allowedCidrs, requests, windowSeconds, awaitsFirstUse] = row as unknown[]
  if (!isScope(scope)) throw new Error('A key in the database has a scope that this version does not know.')
  return freezeRecord({
    id: asText(id, 'id'),
    digest: asDigest(digest, 'digest'),
    workspaceId: asText(workspaceId, 'workspace_id'),
    ownerId: ownerId === null ? null : asText(ownerId, 'owner_id'),
    name: asText(name, 'name'),
    scope,
    metadata: asTexts(metadata),
    createdAt: asNumber(createdAt, 'created_at'),
    expiresAt: asNumberOrNull(expiresAt, 'expires_at'),
    revokedAt: asNumberOrNull(revokedAt, 'revoked_at'),
    limits: limitsOf(asNumberOrNull(tokenEndsAt, 'ends_at'), allowedCidrs, asNumberOrNull(requests, 'rate_requests'), asNumberOrNull(windowSeconds, 'rate_window_seconds'), awaitsFirstUse === true)
  })
}

function limitsOf (tokenEndsAt: number | null, cidrs: unknown, requests: number | null, windowSeconds: number | null, awaitsFirstUse: boolean): KeyLimits | null {
  if (cidrs !== null && !(Array.isArray(cidrs) && cidrs.every((cidr) => typeof cidr === 'string'))) throw wrong('allowed_cidrs')
  if (tokenEndsAt === null && cidrs === null && requests === null && !awaitsFirstUse) return null
  const rateLimit = requests === null || windowSeconds === null ? null : { requests, windowSeconds }
  return { tokenEndsAt, allowedCidrs: cidrs as readonly string[] | null, rateLimit, awaitsFirstUse }
}

function asTexts (value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.values(value).every((entry) => typeof entry === 'string')) throw wrong('metadata')
  return value as Record<string, string>
}

function asNumber (value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw wrong(name)
  return value
}

function asNumberOrNull (value: unknown, name: string): number | null {
  return value === null ? null : asNumber(value, name)
}
