import { parseCidr } from './addresses.ts'
import type { Fault } from './errors.ts'
import type { RateLimit } from './key-record.ts'
import { isScope } from './scopes.ts'
import type { TokenFormat } from './token.ts'

// Patterns are regular expressions with the `u` flag, as JSON Schema reads them.
// No control characters and no lone surrogates: Postgres accepts no NUL in text and no lone surrogate in JSON.
// No bidirectional control characters: with them a name can look like another name.
const character = '[^\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]'
// A name must have at least one visible character.
const visible = '[\\p{L}\\p{N}\\p{P}\\p{S}]'

export const rules = {
  // Clients and proxies normalize . and .. in a path.
  id: { pattern: '^(?!\\.+$)[A-Za-z0-9._:@-]{1,128}$', says: '1 to 128 characters, each one of A-Z a-z 0-9 . _ : @ -, and not only dots' },
  // Subjects of identity providers: auth0|abc, ada+test@example.com, base64.
  ownerId: { pattern: '^(?!\\.+$)[A-Za-z0-9._:@|+/=~-]{1,128}$', says: '1 to 128 characters, each one of A-Z a-z 0-9 . _ : @ | + / = ~ -, and not only dots' },
  name: { pattern: `^(?=.*${visible})${character}{1,100}$`, says: '1 to 100 characters, at least one of them visible, without control characters and bidirectional control characters' },
  reason: { pattern: `^${character}{0,200}$`, says: 'at most 200 characters, without control characters and bidirectional control characters' },
  text: { pattern: `^${character}*$`, says: 'text without control characters and bidirectional control characters' },
  // Hexadecimal or base64. Not base64url: a token that is pasted instead of its digest could match it and would be stored.
  digest: { pattern: '^(?:[0-9a-fA-F]{64}|[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=?)$', says: 'the SHA-256 of the whole token, 32 bytes: 64 hexadecimal digits, or 43 or 44 characters of base64' },
  hint: { pattern: '^[A-Za-z0-9._~+/=-]{4}…[A-Za-z0-9._~+/=-]{4}$', says: 'the first four characters of the token after its prefix, the character … and the last four, such as 3kTq…B3x9; or omitted' },
  importKeysMax: 1000,
  metadataBytesMax: 2048,
  cidrsMax: 100,
  rateRequestsMax: 1_000_000,
  rateWindowSecondsMax: 86_400,
  graceSecondsMax: 2_592_000,
  /** Milliseconds since the epoch: the end of the year 9999. */
  expiresAtMax: 253_402_300_799_999
} as const

interface Described {
  readonly workspaceId?: string
  readonly ownerId?: string | null | undefined
  readonly name?: string | undefined
  readonly scope?: string
  readonly expiresAt?: number | null | undefined
  readonly metadata?: Readonly<Record<string, string>> | undefined
  readonly reason?: string | undefined
  readonly allowedCidrs?: readonly string[] | null | undefined
  readonly rateLimit?: RateLimit | null | undefined
  readonly graceSeconds?: number | undefined
}

interface Rule {
  readonly pointer: string
  readonly pattern: RegExp
  readonly says: string
  valueOf (described: Described): string | null | undefined
}

const table: readonly Rule[] = [
  { pointer: '/workspace_id', pattern: new RegExp(rules.id.pattern, 'u'), says: rules.id.says, valueOf: ({ workspaceId }) => workspaceId },
  { pointer: '/owner_id', pattern: new RegExp(rules.ownerId.pattern, 'u'), says: rules.ownerId.says, valueOf: ({ ownerId }) => ownerId },
  { pointer: '/name', pattern: new RegExp(rules.name.pattern, 'u'), says: rules.name.says, valueOf: ({ name }) => name },
  { pointer: '/reason', pattern: new RegExp(rules.reason.pattern, 'u'), says: rules.reason.says, valueOf: ({ reason }) => reason }
]

/** What is wrong with the description of a key. Every surface uses this; HTTP's schemas find some of the same faults earlier. */
export function faultsOf (described: Described, tokens: TokenFormat): readonly Fault[] {
  const faults: Fault[] = []
  for (const { pointer, pattern, says, valueOf } of table) {
    const value = valueOf(described)
    if (value === undefined || value === null) continue
    if (!pattern.test(value)) faults.push({ pointer, detail: `Must be ${says}.` })
    else if (tokens.foundIn(value)) faults.push(tokenAt(pointer))
  }
  if (described.scope !== undefined && !isScope(described.scope)) faults.push({ pointer: '/scope', detail: 'Must be "mcp:read" or "mcp:write".' })
  if (!isTime(described.expiresAt ?? 1)) faults.push({ pointer: '/expires_at', detail: 'Must be a time from 1970 to 9999 (UTC).' })
  if (described.metadata !== undefined) faults.push(...faultsOfMetadata(described.metadata, tokens))
  if (described.allowedCidrs != null) faults.push(...faultsOfCidrs(described.allowedCidrs))
  faults.push(...faultsOfNumbers(described))
  return faults
}

/** Whether the database and every answer can represent it. */
export function isTime (ms: number): boolean {
  return ms > 0 && ms <= rules.expiresAtMax
}

function faultsOfCidrs (cidrs: readonly string[]): readonly Fault[] {
  // Who sends an empty list may mean that no address is allowed, or that every one is.
  if (cidrs.length === 0) return [{ pointer: '/allowed_cidrs', detail: 'Must have at least one range; null: every address. To end the key, revoke it.' }]
  if (cidrs.length > rules.cidrsMax) return [{ pointer: '/allowed_cidrs', detail: `Must be at most ${rules.cidrsMax} ranges.` }]
  return cidrs.flatMap((cidr, i) => {
    const parsed = parseCidr(cidr)
    return 'fault' in parsed ? [{ pointer: `/allowed_cidrs/${i}`, detail: parsed.fault }] : []
  })
}

function faultsOfNumbers ({ rateLimit, graceSeconds }: Described): readonly Fault[] {
  const numbers = [
    { pointer: '/rate_limit/requests', value: rateLimit?.requests, min: 1, max: rules.rateRequestsMax },
    { pointer: '/rate_limit/window_seconds', value: rateLimit?.windowSeconds, min: 1, max: rules.rateWindowSecondsMax },
    { pointer: '/grace_seconds', value: graceSeconds, min: 0, max: rules.graceSecondsMax }
  ]
  return numbers.flatMap(({ pointer, value, min, max }) =>
    value === undefined || (Number.isInteger(value) && value >= min && value <= max) ? [] : [{ pointer, detail: `Must be a whole number from ${min} to ${max}.` }])
}

/** The ranges in canonical form, without duplicates. */
export function canonicalCidrs (cidrs: readonly string[]): readonly string[] {
  return [...new Set(cidrs.flatMap((cidr) => {
    const parsed = parseCidr(cidr)
    return 'cidr' in parsed ? [parsed.cidr] : []
  }))]
}

function faultsOfMetadata (metadata: Readonly<Record<string, string>>, tokens: TokenFormat): readonly Fault[] {
  const text = JSON.stringify(metadata)
  const pattern = new RegExp(rules.text.pattern, 'u')
  const pointer = '/metadata'
  if (Buffer.byteLength(text) > rules.metadataBytesMax) return [{ pointer, detail: `Must be at most ${rules.metadataBytesMax} bytes when written as JSON.` }]
  for (const [name, value] of Object.entries(metadata)) {
    if (name === '__proto__') return [{ pointer, detail: 'Must not have a field named __proto__.' }]
    if (typeof value !== 'string') return [{ pointer, detail: 'All values must be strings.' }]
    if (!pattern.test(name) || !pattern.test(value)) return [{ pointer, detail: `Must contain only ${rules.text.says}.` }]
    if (tokens.foundIn(name) || tokens.foundIn(value)) return [tokenAt(pointer)]
  }
  return []
}

function tokenAt (pointer: string): Fault {
  return { pointer, detail: 'Contains text in the form of a token. Tokens are never stored. If this is a real token, revoke it.' }
}
