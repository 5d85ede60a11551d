import { counted } from '../../core/counted.ts'
import type { ManagedKey } from '../../core/key-record.ts'
import { scopes } from '../../core/scopes.ts'
import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import type { Site, Viewer } from './page.ts'
import { listHref, soonDays } from './key-filters.ts'
import { dayMs, timeView } from './times.ts'

const soonMs = soonDays * dayMs

interface RowContext {
  readonly site: Site
  readonly viewer: Viewer
  readonly now: number
  readonly tokenPrefix: string
  readonly unusedDays: number
}

export function keyRow (key: ManagedKey, context: RowContext): Html {
  const { site } = context
  return html`<tr role="row"${key.status !== 'active' && html` class="ended"`}>
            <th role="rowheader" scope="row" class="cell-name"><span class="key-name"><a href="${site.paths.key(key.id)}"><bdi>${key.name}</bdi></a>${statusBadge(key)}</span>${under(key, context)}</th>
            ${cell('Access', html`<span class="scope">${scopes[key.scope].label}</span>`)}
            ${cell('Created', timeView(key.createdAt, context.now))}
            ${cell('Expires', expiry(key, context.now))}
            ${cell('Last used', lastUse(key, context))}
            <td role="cell" class="cell-action">${action(key, context)}</td>
          </tr>`
}

/** Whether the key is active and was not used for `unusedDays`. */
export function isUnused (key: ManagedKey, now: number, unusedDays: number): boolean {
  return key.status === 'active' && now - (key.lastUsedAt ?? key.createdAt) >= unusedDays * dayMs
}

export function expiresSoon (key: ManagedKey, now: number): boolean {
  return key.status === 'active' && key.expiresAt !== null && key.expiresAt - now <= soonMs
}

// The label is visible on narrow screens, where the table becomes cards without a header row.
function cell (label: string, content: Html): Html {
  return html`<td role="cell"><span class="cell-label" aria-hidden="true">${label}</span><span class="cell-value">${content}</span></td>`
}

function under (key: ManagedKey, { site, viewer, tokenPrefix }: RowContext): Html {
  return html`<span class="under"><code>${tokenPrefix}${key.hint}</code>${viewer.admin && html` <span class="owner">${ownerOf(key, site, viewer)}</span>`}</span>`
}

function ownerOf ({ ownerId }: ManagedKey, { paths }: Site, viewer: Viewer): Html | string {
  if (ownerId === null) return 'no owner'
  const href = listHref(paths, { kind: 'active', q: '', owner: ownerId, sort: 'newest', cursor: undefined, before: undefined })
  return html`<a href="${href}"><span class="sr-only">Keys of </span><bdi>${ownerId === viewer.ownerId ? 'you' : ownerId}</bdi></a>`
}

function statusBadge (key: ManagedKey): Html | false {
  if (key.status === 'active') return false
  return html` <span class="badge">${key.status === 'revoked' ? 'Revoked' : 'Expired'}</span>`
}

function expiry (key: ManagedKey, now: number): Html {
  if (key.expiresAt === null) return html`<span class="faint">Never</span>`
  const time = timeView(key.expiresAt, now)
  return expiresSoon(key, now) ? html`${time}<span class="flag">${icon('clock')}Expires soon</span>` : time
}

function lastUse (key: ManagedKey, { now, unusedDays }: RowContext): Html {
  const time = html`<span data-last-used>${key.lastUsedAt === null ? html`<span class="faint">Never</span>` : timeView(key.lastUsedAt, now)}</span>`
  return isUnused(key, now, unusedDays) ? html`${time}<span class="flag">${icon('warn')}Unused for ${counted(unusedDays, 'day')}</span>` : time
}

function action (key: ManagedKey, { site, now, tokenPrefix }: RowContext): Html {
  if (key.status === 'active') {
    return html`<a class="button small danger-quiet" href="${site.paths.revoke(key.id)}" data-revoke data-name="${key.name}" data-hint="${tokenPrefix}${key.hint}">Revoke<span class="sr-only"> ${key.name}</span></a>`
  }
  return key.revokedAt === null ? html`` : html`<span class="faint">Revoked ${timeView(key.revokedAt, now)}</span>`
}
