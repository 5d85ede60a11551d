import { Type, type Static, type TString } from 'typebox'
import { KeysError } from '../core/errors.ts'
import type { ManagedKey } from '../core/key-record.ts'
import { rules } from '../core/key-rules.ts'

/** What keys look like on the wire. Never made from the table: a new column would be a new leak. */
const time = (description: string) => Type.String({ format: 'date-time', description })
// Not a union: answers are written by functions made from these schemas, and a union is told apart by a validator, each time.
export const nullable = <T extends TString>(schema: T) => Type.Unsafe<string | null>({ ...schema, type: ['string', 'null'] })

export const scopeSchema = Type.Enum(['mcp:read', 'mcp:write'], { description: '`mcp:write` implies `mcp:read`.' })
export const metadataSchema = Type.Record(Type.String(), Type.String(), { description: 'Flat, strings only, 2 KiB as JSON. Not secret.' })

export const keySchema = Type.Object({
  id: Type.String({ format: 'uuid' }),
  workspace_id: Type.String(),
  owner_id: nullable(Type.String()),
  name: Type.String(),
  scope: scopeSchema,
  hint: Type.String({ description: 'First and last four characters of the token after its prefix.' }),
  status: Type.Enum(['active', 'expired', 'revoked']),
  metadata: metadataSchema,
  created_at: time('When it was made.'),
  created_by: Type.String({ description: 'Name of the management token that made it.' }),
  expires_at: nullable(time('null: never.')),
  last_used_at: nullable(time('A few seconds behind; null: never.')),
  revoked_at: nullable(time('null: not revoked.')),
  revoked_by: nullable(Type.String()),
  revoke_reason: nullable(Type.String())
}, { $id: 'Key', title: 'Key' })

export const workspaceParams = Type.Object({ workspace_id: Type.String({ pattern: rules.id.pattern }) })
export const keyParams = Type.Object({
  workspace_id: Type.String({ pattern: rules.id.pattern }),
  key_id: Type.String({ description: 'The id of a key; whatever else stands here is not found.' })
})

export const pageQuery = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 50, description: 'Rows at most.' })),
  cursor: Type.Optional(Type.String({ maxLength: 200, description: '`next_cursor` of the page before, unchanged.' }))
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
    revoke_reason: key.revokeReason
  }
}

export function toWireTime (ms: number): string {
  return new Date(ms).toISOString()
}

function toWireTimeOrNull (ms: number | null): string | null {
  return ms === null ? null : toWireTime(ms)
}

/** Milliseconds since the epoch of an RFC 3339 time, such as `2027-01-31T12:00:00Z`. */
export function fromWireTime <T extends null | undefined> (text: string | T): number | T {
  if (typeof text !== 'string') return text
  const ms = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d/.test(text) ? Date.parse(text) : NaN
  // A leap second has the right shape, yet no clock here can show it.
  if (!Number.isFinite(ms)) {
    throw new KeysError('invalid_request', { detail: 'A time cannot be read.', faults: [{ pointer: '/expires_at', detail: 'Must be a time such as 2027-01-31T12:00:00Z.' }] })
  }
  return ms
}
