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

/** Who a provider says has signed in. Without a workspace and an owner nobody is admitted: there is no default to fall into. */
export function personOfClaims (claims: Claims, names: ClaimNames): Admission {
  const workspaceId = idOf(claimOf(claims, names.workspace))
  if (workspaceId === undefined || !shapes.workspace.test(workspaceId)) return { admitted: false, missing: 'workspace' }
  const ownerId = ownerIdOf(idOf(claimOf(claims, names.owner)))
  if (ownerId === undefined) return { admitted: false, missing: 'owner' }
  const admin = names.admin !== undefined && says(claimOf(claims, names.admin), names.adminValue)
  return { admitted: true, person: { workspaceId, ownerId, name: nameOf(claims) ?? ownerId, actor: `user:${ownerId}`, admin } }
}

/** Whether every claim that decides is there, so that the userinfo endpoint need not be asked. */
export function isComplete (claims: Claims, names: ClaimNames): boolean {
  return [names.workspace, names.owner, names.admin].every((name) => name === undefined || claimOf(claims, name) !== undefined)
}

// Some providers name their claims by URL, with dots in them: the whole name comes first.
function claimOf (claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name]
  let value: unknown = claims
  for (const part of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Claims)[part]
  }
  return value
}

// Of several workspaces none is the right one.
function idOf (claim: unknown): string | undefined {
  const value: unknown = Array.isArray(claim) && claim.length === 1 ? claim[0] : claim
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
}

/**
 * The same id as the API has for this person. A subject that does not fit an owner id is stood for by its SHA-256. A subject that spells such a
 * digest itself could stand for someone else, and is refused.
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
  // Postgres takes no NUL, and no lone surrogate.
  return name && Array.from(name.replace(/[\p{Cc}\p{Cs}]/gu, ' ').trim()).slice(0, nameMax).join('')
}
