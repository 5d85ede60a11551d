import type { OwnerOverview } from '../../core/overview.ts'
import { adminLinks } from './admin-links.ts'
import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import { listHref, type Kind } from './key-filters.ts'
import { formTokenField, page, type Site, type Viewer } from './page.ts'
import { timeView } from './times.ts'

interface PeopleView {
  readonly site: Site
  readonly viewer: Viewer
  readonly now: number
  /** A part of the owner id; empty: everyone. */
  readonly q: string
  readonly owners: readonly OwnerOverview[]
  /** The owner after which the list goes on; otherwise null. */
  readonly next: string | null
  readonly isFirst: boolean
}

export function peoplePage ({ site, viewer, now, q, owners, next, isFirst }: PeopleView): Html {
  return page({ title: 'People', site, viewer }, html`
    <div class="heading"><div>
      <p class="eyebrow">Settings</p>
      <h1>People and their keys</h1>
      <p class="lead">Everyone in <strong>${viewer.workspaceId}</strong> who has keys that are not revoked. When someone leaves, revoke all of their keys here.</p>
    </div></div>
    ${adminLinks(site, 'people')}
    <form class="filters" method="get" action="${site.paths.people}" role="search" aria-label="Search people">
      <div class="filter grow"><label for="q">Owner contains</label><input class="text" type="search" id="q" name="q" value="${q}" maxlength="128" autocomplete="off" spellcheck="false" autocapitalize="none"></div>
      <button class="button">${icon('search')}Search</button>
    </form>
    ${q !== '' && html`<p class="count">Owners with “<bdi>${q}</bdi>” in the id <a href="${site.paths.people}">Show everyone</a></p>`}
    ${owners.length === 0
      ? noOwners({ q, next, isFirst })
      : html`<div class="card"><table class="keys people" role="table" aria-label="People">
        <thead role="rowgroup"><tr role="row">${['Owner', 'Active keys', 'Never used', 'Last used'].map((label) => html`<th role="columnheader" scope="col">${label}</th>`)}<th role="columnheader" scope="col"><span class="sr-only">Action</span></th></tr></thead>
        <tbody role="rowgroup">${owners.map((owner) => row(owner, { site, now }))}</tbody>
      </table></div>`}
    ${(next !== null || !isFirst) && html`<nav class="pager" aria-label="Pages">
      ${!isFirst && html`<a class="button small" href="${site.paths.people}${q !== '' && `?${new URLSearchParams({ q }).toString()}`}">${icon('back')}From the beginning</a>`}
      ${next !== null && html`<a class="button small next" rel="next" href="${site.paths.people}?${new URLSearchParams({ ...q !== '' && { q }, after: next }).toString()}">Next${icon('forward')}</a>`}
    </nav>`}`)
}

function noOwners ({ q, next, isFirst }: Pick<PeopleView, 'q' | 'next' | 'isFirst'>): Html {
  if (next !== null) return html`<section class="card empty"><h2>None in this part of the list</h2><p>A long list is searched in parts. Continue with “Next”.</p></section>`
  if (q !== '') return html`<section class="card empty"><h2>No such people</h2><p>Everyone who has keys that are not revoked is listed here, by the id that your sign-in gives them.</p></section>`
  return html`<section class="card empty"><h2>${isFirst ? 'No one has keys' : 'No more people'}</h2><p>Keys without an owner are in the list of keys.</p></section>`
}

function row ({ ownerId, active, neverUsed, lastUsedAt, isExact }: OwnerOverview, { site: { paths }, now }: Pick<PeopleView, 'site' | 'now'>): Html {
  const owner = ownerId ?? ''
  const keysOf = (kind: Kind): string => listHref(paths, { kind, q: '', owner, sort: 'newest', cursor: undefined, before: undefined })
  const number = (value: number): string => `${value.toLocaleString('en')}${isExact ? '' : ' or more'}`
  const cell = (label: string, content: Html): Html => html`<td role="cell"><span class="cell-label" aria-hidden="true">${label}</span><span class="cell-value">${content}</span></td>`
  return html`<tr role="row">
          <th role="rowheader" scope="row" class="cell-name"><span class="key-name"><a href="${keysOf('active')}"><bdi>${owner}</bdi></a></span></th>
          ${cell('Active keys', html`<span>${number(active)}</span>`)}
          ${cell('Never used', neverUsed === 0 ? html`<span class="faint">0</span>` : html`<a href="${keysOf('never')}">${number(neverUsed)}<span class="sr-only"> never used, of ${owner}</span></a>`)}
          ${cell('Last used', lastUsedAt === null ? html`<span class="faint">Never</span>` : timeView(lastUsedAt, now))}
          <td role="cell" class="cell-action"><a class="button small danger-quiet" href="${paths.revokeAll}?${new URLSearchParams({ owner }).toString()}">Revoke all<span class="sr-only"> keys of ${owner}</span></a></td>
        </tr>`
}

interface RevokeAllView {
  readonly site: Site
  readonly viewer: Viewer
  readonly now: number
  readonly owner: OwnerOverview
}

/** Shows how many keys will be revoked, and asks for confirmation. */
export function revokeAllPage ({ site, viewer, now, owner }: RevokeAllView): Html {
  const { ownerId, unrevoked, active, neverUsed, usedLately, lastUsedAt, isExact } = owner
  const number = (value: number): string => `${isExact ? '' : 'At least '}${value.toLocaleString('en')}`
  return page({ title: 'Revoke all keys of a person', site, viewer, width: 'narrow' }, html`
    <a class="crumb" href="${site.paths.people}">${icon('back')}People</a>
    <section class="card padded">
      <h1>${unrevoked === 0 ? html`<bdi>${ownerId}</bdi> has no keys` : html`Revoke all keys of <bdi>${ownerId}</bdi>?`}</h1>
      ${unrevoked === 0
        ? html`<p>There is nothing to revoke. Enter the owner exactly as in the list of people.</p><p class="actions"><a class="button" href="${site.paths.people}">Back to people</a></p>`
        : html`<p>Every request that uses one of them is refused from that moment on. This cannot be undone.</p>
      <dl class="facts">
        <dt>Will be revoked</dt><dd><strong>${number(unrevoked)} ${unrevoked === 1 ? 'key' : 'keys'}</strong></dd>
        <dt>Active</dt><dd>${number(active)}</dd>
        <dt>Used in the last 7 days</dt><dd>${number(usedLately)}</dd>
        <dt>Never used</dt><dd>${number(neverUsed)}</dd>
        <dt>Last used</dt><dd>${lastUsedAt === null ? 'Never' : timeView(lastUsedAt, now)}</dd>
      </dl>
      <form class="actions" method="post" action="${site.paths.revokeAll}">
        ${formTokenField(viewer)}
        <input type="hidden" name="owner" value="${ownerId}">
        <button class="button danger" data-busy="Revoking…">Revoke ${number(unrevoked).toLowerCase()} ${unrevoked === 1 ? 'key' : 'keys'}</button>
        <a class="button" href="${site.paths.people}">Keep them</a>
      </form>`}
    </section>`)
}

export function allRevokedPage ({ site, viewer, ownerId, revoked }: { readonly site: Site, readonly viewer: Viewer, readonly ownerId: string, readonly revoked: number }): Html {
  return page({ title: 'Keys revoked', site, viewer, width: 'narrow' }, html`
    <section class="card padded" role="status">
      <span class="badge-icon good">${icon('check')}</span>
      <h1>${revoked.toLocaleString('en')} ${revoked === 1 ? 'key' : 'keys'} of <bdi>${ownerId}</bdi> ${revoked === 1 ? 'is' : 'are'} revoked</h1>
      <p>Every request that uses one of them is refused from now on. New keys of the same owner will work: disable the person’s account too.</p>
      <p class="actions"><a class="button primary" href="${site.paths.people}">Back to people</a></p>
    </section>`)
}
