import type { ManagedKey } from '../../core/key-record.ts'
import { scopes } from '../../core/scopes.ts'
import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import { paths, type Viewer } from './page.ts'
import { dayMs, exactTime, relativeTime, timeView } from './times.ts'

const soonMs = 7 * dayMs
const unusedMs = 90 * dayMs

interface RowContext {
  readonly viewer: Viewer
  readonly now: number
  readonly tokenPrefix: string
}

export function keyRow (key: ManagedKey, context: RowContext): Html {
  return html`<tr role="row"${key.status !== 'active' && html` class="ended"`}>
            <th role="rowheader" scope="row" class="cell-name"><span class="key-name"><a href="${paths.key(key.id)}"><bdi>${key.name}</bdi></a>${statusBadge(key)}</span>${fingerprint(key, context)}</th>
            ${cell('Access', html`<span class="scope">${scopes[key.scope].label}</span>`)}
            ${cell('Created', timeView(key.createdAt, context.now))}
            ${cell('Expires', expiry(key, context.now))}
            ${cell('Last used', lastUse(key, context.now))}
            <td role="cell" class="cell-action">${action(key, context)}</td>
          </tr>`
}

/** Whether nobody has used the active key for so long that it is better revoked. */
export function isUnused (key: ManagedKey, now: number): boolean {
  return key.status === 'active' && now - (key.lastUsedAt ?? key.createdAt) >= unusedMs
}

export function expiresSoon (key: ManagedKey, now: number): boolean {
  return key.status === 'active' && key.expiresAt !== null && key.expiresAt - now <= soonMs
}

// The label stands beside the value where the table becomes a stack of cards; there the header row is out of sight.
function cell (label: string, content: Html): Html {
  return html`<td role="cell"><span class="cell-label" aria-hidden="true">${label}</span><span class="cell-value">${content}</span></td>`
}

function fingerprint (key: ManagedKey, { viewer, tokenPrefix }: RowContext): Html {
  const owner = key.ownerId === null ? 'no owner' : key.ownerId === viewer.ownerId ? 'you' : key.ownerId
  return html`<span class="under"><code>${tokenPrefix}${key.hint}</code>${viewer.admin && html` <span class="owner">${owner}</span>`}</span>`
}

function statusBadge (key: ManagedKey): Html | false {
  if (key.status === 'active') return false
  return html` <span class="badge">${key.status === 'revoked' ? 'Revoked' : 'Expired'}</span>`
}

function expiry (key: ManagedKey, now: number): Html {
  if (key.expiresAt === null) return html`<span class="faint">Never</span>`
  const time = timeView(key.expiresAt, now)
  return expiresSoon(key, now) ? html`<span class="flag">${icon('clock')}<span><span class="sr-only">Expires soon: </span>${time}</span></span>` : time
}

function lastUse (key: ManagedKey, now: number): Html {
  const time = key.lastUsedAt === null ? html`<span class="faint">Never</span>` : timeView(key.lastUsedAt, now)
  return isUnused(key, now) ? html`${time}<span class="flag">${icon('warn')}Unused for 90 days</span>` : time
}

function action (key: ManagedKey, { now, tokenPrefix }: RowContext): Html {
  if (key.status === 'active') {
    return html`<a class="button small danger-quiet" href="${paths.revoke(key.id)}" data-revoke data-name="${key.name}" data-hint="${tokenPrefix}${key.hint}" data-last-used="${key.lastUsedAt === null ? 'Never' : `${relativeTime(key.lastUsedAt, now)}, ${exactTime(key.lastUsedAt)}`}">Revoke<span class="sr-only"> ${key.name}</span></a>`
  }
  return key.revokedAt === null ? html`` : html`<span class="faint">Revoked ${timeView(key.revokedAt, now)}</span>`
}
