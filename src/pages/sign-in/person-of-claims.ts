import { hash } from 'node:crypto'
import type { ClaimNames } from '../../config/pages-config.ts'
import { rules } from '../../core/key-rules.ts'
import type { Person } from '../../core/person.ts'

/** Claims of an ID token or of the userinfo endpoint. */
export type Claims = Readonly<Record<string, unknown>>

export type Admission =
  | { readonly admitted: true, readonly person: Person }
  | { readonly admitted: false, readonly missing: 'workspace' | 'owner' }

const shapes = { workspace: new RegExp(rules.id.pattern, 'u'), owner: new RegExp(rules.ownerId.pattern, 'u') }
const digestMark = 'sha256:'
const nameMax = 100

/** The person that the claims describe. Refused without a workspace or an owner: there is no default for them. */
export function personOfClaims (claims: Claims, names: ClaimNames): Admission {
  const workspaceId = idOf(claimOf(claims, names.workspace))
  if (workspaceId === undefined || !shapes.workspace.test(workspaceId)) return { admitted: false, missing: 'workspace' }
  const ownerId = ownerIdOf(idOf(claimOf(claims, names.owner)))
  if (ownerId === undefined) return { admitted: false, missing: 'owner' }
  const admin = names.admin !== undefined && says(claimOf(claims, names.admin), names.adminValue)
  return { admitted: true, person: { workspaceId, ownerId, name: nameOf(claims) ?? ownerId, actor: `user:${ownerId}`, admin } }
}

/** Whether the claims have everything that is needed, so that a request to the userinfo endpoint is not necessary. */
export function isComplete (claims: Claims, names: ClaimNames): boolean {
  return [names.workspace, names.owner, names.admin].every((name) => name === undefined || claimOf(claims, name) !== undefined)
}

// Some providers name claims by URLs, which contain dots: try the whole name before its parts.
function claimOf (claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name]
  let value: unknown = claims
  for (const part of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Claims)[part]
  }
  return value
}

// Several workspaces are refused: the choice would be arbitrary.
function idOf (claim: unknown): string | undefined {
  const value: unknown = Array.isArray(claim) && claim.length === 1 ? claim[0] : claim
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
}

/**
 * The same id as the API has for this person. A subject that is not a valid owner id is replaced by its SHA-256. A subject that looks like such a
 * digest is refused: it could be the id of another person.
 */
function ownerIdOf (subject: string | undefined): string | undefined {
  if (subject === undefined || subject === '' || subject.startsWith(digestMark)) return undefined
  return shapes.owner.test(subject) ? subject : digestMark + hash('sha256', subject, 'base64url')
}

function says (claim: unknown, wanted: string): boolean {
  return Array.isArray(claim) ? claim.some((value) => String(value) === wanted) : claim !== undefined && claim !== null && String(claim) === wanted
}

function nameOf (claims: Claims): string | undefined {
  const names = [claims['name'], claims['preferred_username'], claims['email']]
  const name = names.find((value) => typeof value === 'string' && value.trim() !== '') as string | undefined
  // Postgres refuses NUL and lone surrogates.
  return name && Array.from(name.replace(/[\p{Cc}\p{Cs}]/gu, ' ').trim()).slice(0, nameMax).join('')
}
