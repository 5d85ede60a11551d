import type { ManagedKey } from '../../core/key-record.ts'
import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import { keyRow } from './key-row.ts'
import { page, paths, type AssetUrls, type Viewer } from './page.ts'
import { revokeDialog } from './revoke-key.ts'

export interface KeyListView {
  readonly assets: AssetUrls
  readonly viewer: Viewer
  readonly now: number
  readonly keys: readonly ManagedKey[]
  readonly tokenPrefix: string
  /** `active`, or `all`: with revoked and expired ones. */
  readonly shows: 'active' | 'all'
  /** Whether there is not even a key that has ended. */
  readonly none: boolean
  readonly firstPage: boolean
  readonly nextCursor: string | null
  /** The key that has just been revoked, to say so. */
  readonly revoked?: ManagedKey
}

export function keyListPage (view: KeyListView): Html {
  const { assets, viewer, keys } = view
  return page({ title: 'Connected Apps', assets, viewer }, html`
    ${view.revoked && revokedNotice(view.revoked)}
    <div class="heading">
      <div>
        <p class="eyebrow">Settings</p>
        <h1>Connected Apps</h1>
        <p class="lead">API keys let Claude, scripts and other MCP clients act in <strong>${viewer.workspaceId}</strong>.${viewer.admin && html` You are an admin here: you see everyone’s keys.`}</p>
      </div>
      <a class="button primary" href="${paths.create}">${icon('plus')}Create API key</a>
    </div>
    ${view.none ? emptyState(viewer) : html`${showSwitch(view)}${keys.length === 0 ? noneActive() : keyTable(view)}${pager(view)}`}
    ${keys.length > 0 && revokeDialog(viewer)}`)
}

function revokedNotice (key: ManagedKey): Html {
  return html`<div class="notice good" role="status">${icon('check')}<p><strong>“<bdi>${key.name}</bdi>” is revoked.</strong> Every request that uses it is refused from now on.</p></div>`
}

function showSwitch ({ shows }: KeyListView): Html {
  const option = (name: 'active' | 'all', label: string, href: string): Html =>
    html`<a href="${href}"${shows === name && html` aria-current="true"`}>${label}</a>`
  return html`<nav class="switch" aria-label="Show active keys, or all with revoked and expired ones">
      ${option('active', 'Active', paths.list)}
      ${option('all', 'All', `${paths.list}?show=all`)}
    </nav>`
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

function pager ({ firstPage, nextCursor, shows }: KeyListView): Html | false {
  if (firstPage && nextCursor === null) return false
  const query = (values: Record<string, string>): string => {
    const text = new URLSearchParams(shows === 'all' ? { show: 'all', ...values } : values).toString()
    return text === '' ? paths.list : `${paths.list}?${text}`
  }
  return html`<nav class="pager" aria-label="Pages">
      ${!firstPage && html`<a class="button small" href="${query({})}">${icon('back')}Newest</a>`}
      ${nextCursor !== null && html`<a class="button small next" rel="next" href="${query({ cursor: nextCursor })}">Older${icon('forward')}</a>`}
    </nav>`
}

function emptyState ({ ownerId }: Viewer): Html {
  return html`<section class="card empty" aria-labelledby="empty-title">
      <span class="badge-icon">${icon('key')}</span>
      <h2 id="empty-title">Connect your first app</h2>
      <p>An API key signs in an MCP client, a script or a service${ownerId !== null && ' as you'}. Make one key for each app, so that you can take it back without touching the others.</p>
      <a class="button primary" href="${paths.create}">Create your first API key</a>
      <p class="fine">Works with Claude Desktop, Claude Code, Cursor and anything that speaks HTTP.</p>
    </section>`
}

function noneActive (): Html {
  return html`<section class="card empty" aria-labelledby="empty-title">
      <span class="badge-icon">${icon('key')}</span>
      <h2 id="empty-title">No active keys</h2>
      <p>Keys that were revoked or have expired are under “All”.</p>
      <a class="button primary" href="${paths.create}">Create API key</a>
    </section>`
}
