import type { KeyFilter, KeyOrder } from '../core/key-store.ts'
import type { Person } from '../core/person.ts'
import { kinds, sorts, type Kind, type ListQuery } from './views/key-filters.ts'

const textMax = 128

/** What of the list's address can be used; the rest counts as left out. */
export function readListQuery (given: Readonly<Record<string, unknown>>, { admin }: Person): ListQuery {
  const show = given['show']
  const sort = given['sort']
  const kind: Kind = isOneOf(kinds, show) ? show : 'active'
  return {
    kind,
    q: textOf(given['q']),
    owner: admin ? textOf(given['owner']) : '',
    sort: isOneOf(sorts, sort) ? sort : kinds[kind].sort,
    cursor: placeOf(given['cursor']),
    before: placeOf(given['before'])
  }
}

interface ListFilter extends KeyFilter {
  readonly workspaceId: string
}

/** The keys that the person may see, and of them those that are asked for. */
export function filterOf ({ workspaceId, ownerId, admin }: Person, { kind, q, owner }: ListQuery, unusedDays: number): ListFilter {
  // An empty owner id is nobody's: without one, a list of everyone's keys would be shown.
  const whose = admin ? (owner === '' ? undefined : owner) : ownerId ?? ''
  return {
    workspaceId,
    ...whose !== undefined && { ownerId: whose },
    ...q !== '' && { q },
    ...kinds[kind].filter(unusedDays)
  }
}

/** Left out where it is the usual one, so that the address stays short. */
export function orderOf ({ sort }: ListQuery): KeyOrder | undefined {
  return sort === 'newest' ? undefined : sort
}

// Postgres takes no NUL, and no lone surrogate.
function textOf (value: unknown): string {
  return typeof value === 'string' ? Array.from(value.replace(/[\p{Cc}\p{Cs}]/gu, ' ').trim()).slice(0, textMax).join('') : ''
}

function placeOf (value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function isOneOf<Name extends string> (table: Readonly<Record<Name, unknown>>, value: unknown): value is Name {
  return typeof value === 'string' && Object.hasOwn(table, value)
}
