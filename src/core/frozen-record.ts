import type { Digest, KeyLimits, KeyRecord } from './key-record.ts'

/**
 * The record that caches share between requests. It is immutable, and what prints it whole,
 * such as an answer or a log line, does not print the digest.
 */
export function freezeRecord (record: KeyRecord): KeyRecord {
  return new FrozenRecord(record)
}

// A class, so that all records have one hidden class: copied by spread and given a hidden property, each was a
// dictionary to the engine, 25 times as slow to make, 20 times as slow to read, and twice as large.
class FrozenRecord implements KeyRecord {
  readonly id: string
  readonly workspaceId: string
  readonly ownerId: string | null
  readonly name: string
  readonly scope: KeyRecord['scope']
  readonly metadata: KeyRecord['metadata']
  readonly createdAt: number
  readonly expiresAt: number | null
  readonly revokedAt: number | null
  readonly limits: KeyRecord['limits']
  readonly #digest: Digest

  constructor ({ id, digest, workspaceId, ownerId, name, scope, metadata, createdAt, expiresAt, revokedAt, limits }: KeyRecord) {
    this.id = id
    this.workspaceId = workspaceId
    this.ownerId = ownerId
    this.name = name
    this.scope = scope
    this.metadata = Object.freeze(metadata)
    this.createdAt = createdAt
    this.expiresAt = expiresAt
    this.revokedAt = revokedAt
    this.limits = limits === null ? null : frozenLimits(limits)
    this.#digest = digest
    Object.freeze(this)
  }

  get digest (): Digest {
    return this.#digest
  }
}

function frozenLimits (limits: KeyLimits): KeyLimits {
  if (limits.allowedCidrs !== null) Object.freeze(limits.allowedCidrs)
  if (limits.rateLimit !== null) Object.freeze(limits.rateLimit)
  return Object.freeze(limits)
}
