import type { ManagedKey } from '../../core/key-record.ts'
import type { KeyCount } from '../../core/key-store.ts'
import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import { countText, keyFilters, kinds, listHref, type ListQuery } from './key-filters.ts'
import { adminLinks } from './admin-links.ts'
import { keyRow } from './key-row.ts'
import { page, type Site, type Viewer } from './page.ts'
import { revokeDialog } from './revoke-key.ts'

export interface KeyListView {
  readonly site: Site
  readonly viewer: Viewer
  readonly now: number
  readonly query: ListQuery
  readonly keys: readonly ManagedKey[]
  readonly count: KeyCount
  readonly tokenPrefix: string
  /** After how many days without use a key is called unused. */
  readonly unusedDays: number
  /** Whether the person has no keys at all, not even expired or revoked ones. */
  readonly none: boolean
  readonly nextCursor: string | null
  readonly previousCursor: string | null
  /** The key that was just revoked, for a notice. */
  readonly revoked?: ManagedKey
}

export function keyListPage (view: KeyListView): Html {
  const { site, viewer, keys, query } = view
  return page({ title: 'Connected Apps', site, viewer }, html`
    ${view.revoked && revokedNotice(view.revoked)}
    <div class="heading">
      <div>
        <p class="eyebrow">Settings</p>
        <h1>Connected Apps</h1>
        <p class="lead">API keys let Claude, scripts and other MCP clients act in <strong>${viewer.workspaceId}</strong>.${viewer.admin && html` You are an admin here: you see everyone’s keys.`}</p>
      </div>
      <a class="button primary" href="${site.paths.create}">${icon('plus')}Create API key</a>
    </div>
    ${viewer.admin && adminLinks(site, 'keys')}
    ${view.none ? emptyState(view) : html`${keyFilters({ site, query, admin: viewer.admin })}${countLine(view)}${keys.length === 0 ? noneFound(view) : keyTable(view)}${pager(view)}`}
    ${keys.length > 0 && revokeDialog(viewer)}`)
}

function revokedNotice (key: ManagedKey): Html {
  return html`<div class="notice good" role="status">${icon('check')}<p><strong>“<bdi>${key.name}</bdi>” is revoked.</strong> Every request that uses it is refused from now on.</p></div>`
}

function countLine ({ site, query, count }: KeyListView): Html {
  const isNarrowed = query.q !== '' || query.owner !== ''
  return html`<p class="count">${countText(count)}${query.q !== '' && html` with “<bdi>${query.q}</bdi>” in the name`}${query.owner !== '' && html` of <bdi>${query.owner}</bdi>`}${isNarrowed && html` <a href="${listHref(site.paths, { ...query, q: '', owner: '' })}">Show all names${query.owner !== '' && ' and owners'}</a>`}</p>`
}

function keyTable (view: KeyListView): Html {
  return html`<div class="card">
      <table class="keys" role="table" aria-label="API keys">
        <thead role="rowgroup">
          <tr role="row">
            ${['Name', 'Access', 'Created', 'Expires', 'Last used'].map((label) => html`<th role="columnheader" scope="col">${label}</th>`)}
            <th role="columnheader" scope="col"><span class="sr-only">Action</span></th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          ${view.keys.map((key) => keyRow(key, view))}
        </tbody>
      </table>
    </div>`
}

function pager ({ site: { paths }, query, previousCursor, nextCursor }: KeyListView): Html | false {
  if (previousCursor === null && nextCursor === null) return false
  return html`<nav class="pager" aria-label="Pages">
      ${previousCursor !== null && html`<a class="button small" rel="prev" href="${listHref(paths, query, { before: previousCursor })}">${icon('back')}Previous</a>`}
      ${nextCursor !== null && html`<a class="button small next" rel="next" href="${listHref(paths, query, { cursor: nextCursor })}">Next${icon('forward')}</a>`}
    </nav>`
}

function emptyState ({ site, viewer: { ownerId } }: KeyListView): Html {
  return html`<section class="card empty" aria-labelledby="empty-title">
      <span class="badge-icon">${icon('key')}</span>
      <h2 id="empty-title">Connect your first app</h2>
      <p>An API key signs in an MCP client, a script or a service${ownerId !== null && ' as you'}. Make one key for each app, so that you can revoke one key without affecting the others.</p>
      <a class="button primary" href="${site.paths.create}">Create your first API key</a>
      <p class="fine">Works with Claude, Cursor, VS Code, Codex, Gemini CLI, Windsurf and anything that speaks HTTP.</p>
    </section>`
}

function noneFound ({ site, query, unusedDays, nextCursor }: KeyListView): Html {
  const { says } = kinds[query.kind]
  const isNarrowed = query.q !== '' || query.owner !== ''
  return html`<section class="card empty" aria-labelledby="empty-title">
      <span class="badge-icon">${icon('key')}</span>
      ${nextCursor !== null
        ? html`<h2 id="empty-title">None in this part of the list</h2><p>A long list is searched in parts. Continue with “Next”.</p>`
        : html`<h2 id="empty-title">No such keys</h2><p>There is no key that ${says(unusedDays)}${isNarrowed && ' and matches the search'}.</p>`}
      ${query.kind !== 'all' && nextCursor === null && html`<a class="button" href="${listHref(site.paths, { ...query, kind: 'all', sort: 'newest' })}">Search all keys</a>`}
    </section>`
}
