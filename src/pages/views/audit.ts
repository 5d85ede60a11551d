import type { AuditEntry } from '../../core/key-store.ts'
import { adminLinks } from './admin-links.ts'
import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import { actionText, detailsText } from './key-page.ts'
import { page, type Site, type Viewer } from './page.ts'
import { timeView } from './times.ts'

/** The filter of the audit trail; empty: all. Days are `2026-11-25`, UTC. */
export interface AuditForm {
  readonly actor: string
  readonly key: string
  readonly from: string
  readonly to: string
}

interface AuditView {
  readonly site: Site
  readonly viewer: Viewer
  readonly now: number
  /** The longest file. */
  readonly csvRowsMax: number
  readonly form: AuditForm
  readonly entries: readonly AuditEntry[]
  readonly nextCursor: string | null
  readonly isFirst: boolean
}

export function auditPage ({ site, viewer, now, csvRowsMax, form, entries, nextCursor, isFirst }: AuditView): Html {
  const asked = Object.fromEntries(Object.entries(form).filter(([, value]) => value !== ''))
  const href = (path: string, more: Record<string, string> = {}): string => {
    const query = new URLSearchParams({ ...asked, ...more }).toString()
    return query === '' ? path : `${path}?${query}`
  }
  const field = (name: keyof AuditForm, label: string, type: 'text' | 'date'): Html =>
    html`<div class="filter"><label for="${name}">${label}</label><input class="text" type="${type}" id="${name}" name="${name}" value="${form[name]}" maxlength="200" autocomplete="off" spellcheck="false"></div>`
  return page({ title: 'Audit', site, viewer }, html`
    <div class="heading"><div>
      <p class="eyebrow">Settings</p>
      <h1>Audit</h1>
      <p class="lead">Changes of the keys of <strong>${viewer.workspaceId}</strong> and who made them, newest first.</p>
    </div></div>
    ${adminLinks(site, 'audit')}
    <form class="filters" method="get" action="${site.paths.audit}">
      ${field('actor', 'Actor', 'text')}${field('key', 'Id of the key', 'text')}${field('from', 'From (UTC)', 'date')}${field('to', 'Until (UTC)', 'date')}
      <button class="button">${icon('search')}Search</button>
      <a class="button" href="${href(site.paths.auditCsv)}" download>Save as CSV</a>
    </form>
    <p class="count">The CSV file has the entries of this search, at most the newest ${csvRowsMax.toLocaleString('en')}.</p>
    ${entries.length === 0
      ? html`<section class="card empty"><h2>No entries</h2><p>No entry matches the search.</p></section>`
      : html`<div class="card"><ol class="entries">${entries.map((entry) => html`<li>
        <p><strong>${actionText(entry.action)}</strong> by <a href="${site.paths.audit}?${new URLSearchParams({ actor: entry.actor }).toString()}"><bdi>${entry.actor}</bdi></a>${entry.keyId !== null && html`, <a href="${site.paths.key(entry.keyId)}">key <code>${entry.keyId}</code></a>`}</p>
        <p class="fine">${timeView(entry.at, now)}${detailsText(entry.details)}</p></li>`)}</ol></div>`}
    ${(nextCursor !== null || !isFirst) && html`<nav class="pager" aria-label="Pages">
      ${!isFirst && html`<a class="button small" href="${href(site.paths.audit)}">${icon('back')}Newest</a>`}
      ${nextCursor !== null && html`<a class="button small next" rel="next" href="${href(site.paths.audit, { cursor: nextCursor })}">Older${icon('forward')}</a>`}
    </nav>`}`)
}
