import type { KeyFilter, KeyOrder } from '../core/key-store.ts'
import type { Person } from '../core/person.ts'
import { kinds, sorts, type Kind, type ListQuery } from './views/key-filters.ts'

const textMax = 128

/** Reads the query string of the list. Invalid values are ignored. */
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

/** The filter for the keys that the person may see and has asked for. */
export function filterOf ({ workspaceId, ownerId, admin }: Person, { kind, q, owner }: ListQuery, unusedDays: number): ListFilter {
  // No owner id: use an empty one, which no key has. `undefined` would list the keys of all owners.
  const whose = admin ? (owner === '' ? undefined : owner) : ownerId ?? ''
  return {
    workspaceId,
    ...whose !== undefined && { ownerId: whose },
    ...q !== '' && { q },
    ...kinds[kind].filter(unusedDays)
  }
}

/** `undefined`: the default order. */
export function orderOf ({ sort }: ListQuery): KeyOrder | undefined {
  return sort === 'newest' ? undefined : sort
}

// Postgres refuses NUL and lone surrogates.
function textOf (value: unknown): string {
  return typeof value === 'string' ? Array.from(value.replace(/[\p{Cc}\p{Cs}]/gu, ' ').trim()).slice(0, textMax).join('') : ''
}

function placeOf (value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function isOneOf<Name extends string> (table: Readonly<Record<Name, unknown>>, value: unknown): value is Name {
  return typeof value === 'string' && Object.hasOwn(table, value)
}
