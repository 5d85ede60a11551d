import { timingSafeEqual } from 'node:crypto'
import { digestToBytes, type Digest, type KeyLimits, type KeyRecord } from '../core/key-record.ts'
import type { Entry } from '../core/lookup.ts'
import { isScope } from '../core/scopes.ts'
import { freezeRecord } from '../core/frozen-record.ts'
import type { LineageKey } from './lineage-key.ts'
import { RowMac } from './row-mac.ts'

/** What binds a row in Redis to this very history of this database (R0). */
export interface RowSeal {
  readonly key: LineageKey
  /** Lineage, timeline and server start, as known before the row was read. */
  readonly label: string
}

const macLength = 43
/** Of a whole value in Redis, in bytes. The longest record that the database takes is well below. */
export const rowBytesMax = 16_384

export function rowName (digest: Digest, { prefix }: LineageKey): string {
  return `${prefix}:key:${digestToBytes(digest).toString('base64url')}`
}

/** An HMAC over digest, label, `asof` and record (R0), then what it covers but for the digest. */
export function encodeRow ({ record, asof }: Entry, seal: RowSeal): string {
  const { id, workspaceId, ownerId, name, scope, metadata, createdAt, expiresAt, revokedAt, limits } = record
  const body = JSON.stringify([asof, id, workspaceId, ownerId, name, scope, metadata, createdAt, expiresAt, revokedAt, limits])
  return macOf(record.digest, body, seal) + body
}

/** The entry, or `undefined` for anything but a row of exactly this key, written by a replica of this very history. */
export function decodeRow (text: string, digest: Digest, seal: RowSeal): Entry | undefined {
  if (text.length <= macLength || text.length > rowBytesMax) return undefined
  const body = text.slice(macLength)
  const expected = Buffer.from(macOf(digest, body, seal), 'latin1')
  const given = Buffer.from(text.slice(0, macLength), 'latin1')
  return timingSafeEqual(expected, given) ? parseRow(body, digest) : undefined
}

// A valid HMAC means that this service wrote the row; a row of another version may still look different.
function parseRow (body: string, digest: Digest): Entry | undefined {
  const row: unknown = parse(body)
  if (!Array.isArray(row) || row.length !== 11) return undefined
  const [asof, id, workspaceId, ownerId, name, scope, metadata, createdAt, expiresAt, revokedAt, limits] = row as unknown[]
  if (!isPosition(asof) || typeof id !== 'string' || typeof workspaceId !== 'string' || typeof name !== 'string') return undefined
  if (!(ownerId === null || typeof ownerId === 'string') || !isScope(scope) || !isMetadata(metadata)) return undefined
  if (!isTime(createdAt) || !isTimeOrNever(expiresAt) || !isTimeOrNever(revokedAt) || !isLimits(limits)) return undefined
  const record: KeyRecord = { id, digest, workspaceId, ownerId, name, scope, metadata, createdAt, expiresAt, revokedAt, limits }
  return { record: freezeRecord(record), asof }
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isPosition (value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isTime (value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function isTimeOrNever (value: unknown): value is number | null {
  return value === null || isTime(value)
}

function isLimits (value: unknown): value is KeyLimits | null {
  if (value === null) return true
  if (typeof value !== 'object') return false
  const { tokenEndsAt, allowedCidrs, rateLimit, awaitsFirstUse } = value as Record<string, unknown>
  return typeof awaitsFirstUse === 'boolean' && isTimeOrNever(tokenEndsAt) && (allowedCidrs === null || isTexts(allowedCidrs)) && (rateLimit === null || isRateLimit(rateLimit))
}

function isTexts (value: unknown): boolean {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string')
}

function isRateLimit (value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { requests, windowSeconds } = value as Record<string, unknown>
  return isTime(requests) && isTime(windowSeconds)
}

function isMetadata (value: unknown): value is Record<string, string> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) &&
    Object.values(value).every((entry) => typeof entry === 'string')
}

// The purpose is part of what is signed: no announcement can be passed off as a row. The digest has 32 bytes, the label no line feed.
function macOf (digest: Digest, body: string, { key, label }: RowSeal): string {
  if (mac?.secret !== key.bytes) mac = new RowMac(key.bytes)
  return mac.of('navis-keys row\n', digest, `${label}\n${body}`)
}

let mac: RowMac | undefined
