import { counted } from '../../core/counted.ts'
import type { KeyCount, KeyFilter, KeyOrder } from '../../core/key-store.ts'
import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import type { Paths, Site } from './page.ts'

export type Kind = 'active' | 'expiring' | 'unused' | 'never' | 'expired' | 'revoked' | 'all'

/** The query string of the list. */
export interface ListQuery {
  readonly kind: Kind
  /** A part of the name; empty: any name. */
  readonly q: string
  /** Empty: any owner. */
  readonly owner: string
  readonly sort: KeyOrder
  readonly cursor: string | undefined
  readonly before: string | undefined
}

interface KindMeaning {
  readonly label: string
  /** Completes the sentence "There is no key that …". */
  readonly says: (unusedDays: number) => string
  readonly filter: (unusedDays: number) => KeyFilter
  /** The default order. For keys that are not used it is the one that finds them first in a long list. */
  readonly sort: KeyOrder
}

export const soonDays = 7

export const kinds: Readonly<Record<Kind, KindMeaning>> = {
  active: { label: 'Active', says: () => 'is active', filter: () => ({ status: 'active' }), sort: 'newest' },
  expiring: { label: 'Expiring', says: () => `expires within ${soonDays} days`, filter: () => ({ status: 'active', expiresWithinDays: soonDays }), sort: 'expiry' },
  unused: { label: 'Unused', says: (days) => `has been unused for ${counted(days, 'day')}`, filter: (unusedDays) => ({ status: 'active', unusedDays }), sort: 'idle' },
  never: { label: 'Never used', says: () => 'is active and was never used', filter: () => ({ status: 'active', neverUsed: true }), sort: 'idle' },
  expired: { label: 'Expired', says: () => 'has expired', filter: () => ({ status: 'expired' }), sort: 'newest' },
  revoked: { label: 'Revoked', says: () => 'is revoked', filter: () => ({ status: 'revoked' }), sort: 'newest' },
  all: { label: 'All', says: () => 'is like that', filter: () => ({ status: 'all' }), sort: 'newest' }
}

export const sorts: Readonly<Record<KeyOrder, string>> = {
  newest: 'Newest first',
  oldest: 'Oldest first',
  name: 'By name',
  expiry: 'Expires first',
  used: 'Recently used first',
  idle: 'Least recently used first'
}

/** The URL of the list with these filters. Default: its first page. */
export function listHref (paths: Paths, { kind, q, owner, sort }: ListQuery, place: { readonly cursor?: string, readonly before?: string } = {}): string {
  const query = new URLSearchParams({
    ...kind !== 'active' && { show: kind },
    ...q !== '' && { q },
    ...owner !== '' && { owner },
    ...sort !== kinds[kind].sort && { sort },
    ...place
  }).toString()
  return query === '' ? paths.list : `${paths.list}?${query}`
}

interface FiltersView {
  readonly site: Site
  readonly query: ListQuery
  /** Whether to offer a filter by owner. */
  readonly admin: boolean
}

/** Links for the kinds of keys, and a form for the other filters. The URL contains all filters, so they work without scripts and can be shared. */
export function keyFilters ({ site: { paths }, query, admin }: FiltersView): Html {
  const isUsual = query.sort === kinds[query.kind].sort
  return html`<nav class="switch" aria-label="Which keys to show">
      ${Object.entries(kinds).map(([kind, { label, sort }]) => html`<a href="${listHref(paths, { ...query, kind: kind as Kind, sort: isUsual ? sort : query.sort })}"${kind === query.kind && html` aria-current="true"`}>${label}</a>`)}
    </nav>
    <form class="filters" method="get" action="${paths.list}" role="search" aria-label="Search the keys">
      ${query.kind !== 'active' && html`<input type="hidden" name="show" value="${query.kind}">`}
      <div class="filter grow"><label for="q">Name contains</label><input class="text" type="search" id="q" name="q" value="${query.q}" maxlength="100" autocomplete="off" spellcheck="false" dir="auto"></div>
      ${admin && html`<div class="filter"><label for="owner">Owner</label><input class="text" id="owner" name="owner" value="${query.owner}" maxlength="128" autocomplete="off" spellcheck="false" autocapitalize="none"></div>`}
      <div class="filter"><label for="sort">Order</label><select class="text" id="sort" name="sort">
        ${Object.entries(sorts).map(([sort, label]) => html`<option value="${sort}"${sort === query.sort && html` selected`}>${label}</option>`)}
      </select></div>
      <button class="button">${icon('search')}Search</button>
    </form>`
}

export function countText ({ count, isExact }: KeyCount): string {
  const keys = count === 1 ? 'key' : 'keys'
  return `${isExact ? '' : 'At least '}${count.toLocaleString('en')} ${keys}`
}
