import { Type, type Static, type TObject, type TString } from 'typebox'
import { KeysError } from '../core/errors.ts'
import { eventTypes, type KeyEvent } from '../core/events.ts'
import type { AuditEntry } from '../core/key-store.ts'
import type { KeyUsage, ListedCall } from '../core/usage-reports.ts'
import type { ManagedKey, RateLimit } from '../core/key-record.ts'
import { rules } from '../core/key-rules.ts'

/** The wire format of keys. Never derived from the table: a new column would leak. */
const time = (description: string) => Type.String({ format: 'date-time', description })
// Not a union: the compiled serializer would run a validator on each value to choose the branch.
export const nullable = <T extends TString>(schema: T) => Type.Unsafe<string | null>({ ...schema, type: ['string', 'null'] })

export const scopeSchema = Type.Enum(['mcp:read', 'mcp:write'], { description: '`mcp:write` implies `mcp:read`.' })
export const metadataSchema = Type.Record(Type.String(), Type.String(), { description: `A flat object of strings, at most 2 KiB as JSON. Names and values are ${rules.text.says}: no line breaks, no tabs. Not secret.` })

export const rateLimitSchema = Type.Object({
  requests: Type.Integer({ minimum: 1, maximum: rules.rateRequestsMax, description: 'How many requests are allowed per window; also the largest burst.' }),
  window_seconds: Type.Integer({ minimum: 1, maximum: rules.rateWindowSecondsMax, description: 'The length of the window in seconds.' })
}, { additionalProperties: false })

const previousTokenSchema = Type.Object({ hint: Type.String({ description: 'First and last four characters of that token after its prefix.' }), ends_at: time('The latest time. A grace that begins at the first use of the new token may end it earlier.') })

// Not unions with null, for the same reason.
export const nullableObject = <T extends TObject>(schema: T, description: string) => Type.Unsafe<Static<T> | null>({ ...schema, type: ['object', 'null'], description })
export const nullableTexts = (description: string) => Type.Unsafe<string[] | null>({ type: ['array', 'null'], items: { type: 'string' }, description })
export const nullableInteger = (description: string) => Type.Unsafe<number | null>({ type: ['integer', 'null'], description })

export const keySchema = Type.Object({
  id: Type.String({ format: 'uuid', description: 'The id of the key; it stays the same when the key is rotated.' }),
  workspace_id: Type.String({ description: 'The workspace that the key belongs to: an id of your application.' }),
  owner_id: nullable(Type.String({ description: 'The person or service that owns the key: an id of your application. null: no owner.' })),
  name: Type.String({ description: 'What people call the key.' }),
  scope: scopeSchema,
  hint: Type.String({ description: 'First and last four characters of the token after its prefix.' }),
  status: Type.Enum(['active', 'expired', 'revoked'], { description: 'Only an active key is accepted.' }),
  metadata: metadataSchema,
  created_at: time('When the key was created.'),
  created_by: Type.String({ description: 'Who created the key: the name of a management token, a person (`user:` and the owner id), or `cli`.' }),
  expires_at: nullable(time('null: never.')),
  last_used_at: nullable(time('A few seconds late; null: never used.')),
  revoked_at: nullable(time('null: not revoked.')),
  revoked_by: nullable(Type.String({ description: 'Who revoked the key; `policy`: it was unused; `token`: its holder did. null: not revoked.' })),
  revoke_reason: nullable(Type.String({ description: 'As given when the key was revoked; `unused`, `leaked` and `self` are reasons of the service. null: none.' })),
  allowed_cidrs: nullableTexts('The only addresses and ranges that may use the key; null: every address.'),
  rate_limit: nullableObject(rateLimitSchema, 'null: no limit.'),
  rotated_at: nullable(time('When the current token was created; null: together with the key.')),
  previous_token: nullableObject(previousTokenSchema, 'The previous token, while it still works.')
}, { $id: 'Key', title: 'Key' })

/** An event as it is asked for, and as it is sent to receivers of webhooks. */
export const eventSchema = Type.Object({
  id: Type.String({ format: 'uuid', description: 'The same in every delivery of the event.' }),
  type: Type.Enum([...eventTypes], { description: 'What happened.' }),
  timestamp: Type.String({ format: 'date-time', description: 'Time of the event.' }),
  data: Type.Object({
    key_id: Type.String({ format: 'uuid', description: 'The id of the key.' }),
    key: Type.Object(keySchema.properties, { description: 'The key at the time of the event.' }),
    days: Type.Optional(Type.Integer({ description: 'Only for `key.expiring`: within how many days the key expires, 7 or 1.' }))
  }, { description: 'The key, and what belongs to this type of event.' })
}, { title: 'Event' })

/** The address of the client that presented the token to the calling service. */
export const addressSchema = Type.Union([Type.String({ format: 'ipv4' }), Type.String({ format: 'ipv6' })], { description: 'The address of the client that presented the token. Without it, a key with a list of addresses is refused.' })

const workspaceId = Type.String({ pattern: rules.id.pattern, description: 'The workspace: an id of your application. Another workspace\'s key is a 404.' })
export const workspaceParams = Type.Object({ workspace_id: workspaceId })
export const keyParams = Type.Object({
  workspace_id: workspaceId,
  key_id: Type.String({ description: 'The id of a key; anything else is a 404.' })
})

/** Of a page of a list. */
export const nextCursorSchema = Type.Union([Type.String(), Type.Null()], { description: 'Send it as `cursor` to get the next page; null: this is the last page.' })

export const pageQuery = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 50, description: 'Maximum number of rows.' })),
  cursor: Type.Optional(Type.String({ maxLength: 200, description: '`next_cursor` of the previous page, unchanged. Omitted or empty: the first page.' }))
}

/** Where a list goes on. Scripts write `cursor=` with an empty variable for the first page. */
export function placeOf (text: string | undefined): string | undefined {
  return text === '' ? undefined : text
}

/** Of a list: only rows with this text. No row has a control character, and Postgres refuses NUL. */
export function filterText (description: string) {
  return Type.Optional(Type.String({ minLength: 1, maxLength: 200, pattern: rules.text.pattern, description }))
}

/** Of a list of what happened. */
export const timeRangeQuery = {
  from: Type.Optional(Type.String({ format: 'date-time', description: 'The start of the time range (inclusive).' })),
  to: Type.Optional(Type.String({ format: 'date-time', description: 'The end of the time range (exclusive).' }))
}

export function fromWireTimeRange ({ from, to }: { readonly from?: string, readonly to?: string }): { readonly from: number | undefined, readonly to: number | undefined } {
  const [first, last] = [fromWireTime(from, '/from'), fromWireTime(to, '/to')]
  if (first !== undefined && last !== undefined && first > last) {
    throw new KeysError('invalid_request', { detail: 'Invalid time range; see "errors".', faults: [{ pointer: '/from', detail: 'Must not be later than "to".' }] })
  }
  return { from: first, to: last }
}

export const auditColumns = ['id', 'at', 'actor', 'action', 'key_id', 'details'] as const
export const callColumns = ['at', 'key_id', 'upstream', 'method', 'tool', 'decision', 'status', 'ms'] as const
export const usageColumns = ['day', 'accepted', 'revoked', 'expired', 'insufficient_scope', 'address_not_allowed', 'rate_limited'] as const

export function toWireAuditEntry ({ id, workspaceId, keyId, action, actor, at, details }: AuditEntry) {
  return { id, workspace_id: workspaceId, key_id: keyId, action, actor, at: toWireTime(at), details }
}

export function toWireCall ({ at, keyId, upstream, method, tool, decision, status, ms }: ListedCall) {
  return { at: toWireTime(at), key_id: keyId, upstream, method, tool, decision, status, ms }
}

/** A row of CSV for each day. */
export function usageRows ({ days }: Pick<KeyUsage, 'days'>) {
  return days.map(({ day, accepted, refused }) => ({ day, accepted, ...refused }))
}

export function toWireKey (key: ManagedKey): Static<typeof keySchema> {
  return {
    id: key.id,
    workspace_id: key.workspaceId,
    owner_id: key.ownerId,
    name: key.name,
    scope: key.scope,
    hint: key.hint,
    status: key.status,
    metadata: { ...key.metadata },
    created_at: toWireTime(key.createdAt),
    created_by: key.createdBy,
    expires_at: toWireTimeOrNull(key.expiresAt),
    last_used_at: toWireTimeOrNull(key.lastUsedAt),
    revoked_at: toWireTimeOrNull(key.revokedAt),
    revoked_by: key.revokedBy,
    revoke_reason: key.revokeReason,
    allowed_cidrs: key.allowedCidrs && [...key.allowedCidrs],
    rate_limit: toWireRateLimit(key.rateLimit),
    rotated_at: toWireTimeOrNull(key.rotatedAt),
    previous_token: key.previousToken && { hint: key.previousToken.hint, ends_at: toWireTime(key.previousToken.endsAt) }
  }
}

export function toWireEvent ({ id, type, at, keyId, key, days }: KeyEvent): Static<typeof eventSchema> {
  return { id, type, timestamp: toWireTime(at), data: { key_id: keyId, key: toWireKey(key), ...days === undefined ? {} : { days } } }
}

export function toWireTime (ms: number): string {
  return new Date(ms).toISOString()
}

function toWireTimeOrNull (ms: number | null): string | null {
  return ms === null ? null : toWireTime(ms)
}

function toWireRateLimit (limit: RateLimit | null): Static<typeof rateLimitSchema> | null {
  return limit && { requests: limit.requests, window_seconds: limit.windowSeconds }
}

export function fromWireRateLimit <T extends null | undefined> (limit: Static<typeof rateLimitSchema> | T): RateLimit | T {
  return limit && { requests: limit.requests, windowSeconds: limit.window_seconds }
}

/** Milliseconds since the epoch of an RFC 3339 time, such as `2027-01-31T12:00:00Z`. */
export function fromWireTime <T extends null | undefined> (text: string | T, pointer = '/expires_at'): number | T {
  if (typeof text !== 'string') return text
  const ms = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d/.test(text) ? Date.parse(text) : NaN
  // A leap second matches the pattern, but Date cannot represent it.
  if (!Number.isFinite(ms)) {
    throw new KeysError('invalid_request', { detail: 'Invalid time; see "errors".', faults: [{ pointer, detail: 'Must be a time such as 2027-01-31T12:00:00Z.' }] })
  }
  return ms
}
