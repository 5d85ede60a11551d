import type { ManagedKey, PreviousToken } from '../../core/key-record.ts'
import type { KeyUsage } from '../../core/usage-reports.ts'
import type { AuditEntry } from '../../core/key-store.ts'
import { isScope, scopes, type Scope } from '../../core/scopes.ts'
import { graceText } from './durations.ts'
import { expiryField, faultSummary, nameField, type CreateForm, type FormFaults, type Terms } from './create-key.ts'
import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import { firstUse } from './first-use.ts'
import { limitsField, limitsOf, rateText } from './limits.ts'
import { usageSection } from './usage.ts'
import { formTokenField, page, type Site, type Viewer } from './page.ts'
import { breakableOnce, exactDay, exactTime, timeView } from './times.ts'

const linesMax = 4

export type EditForm = Omit<CreateForm, 'scope'>

export interface KeyPageView {
  readonly site: Site
  readonly viewer: Viewer
  readonly now: number
  readonly key: ManagedKey
  readonly tokenPrefix: string
  readonly form: EditForm
  readonly faults: FormFaults
  readonly terms: Terms
  readonly firstDay: string
  readonly lastDay: string | undefined
  readonly usage: KeyUsage
  /** Newest first. */
  readonly history: readonly AuditEntry[]
  /** The cursor of older entries. */
  readonly earlier: string | null
  readonly saved: boolean
  /** Whether to wait for the first use of the newest token. */
  readonly awaitsFirstUse: boolean
}

/** The terms for an existing key: its first choice is to keep the expiration. */
export function keptTerms ({ choices, ...terms }: Terms, { expiresAt }: Pick<ManagedKey, 'expiresAt'>): Terms {
  return { ...terms, choices: [{ value: 'keep', label: `Keep: ${expiresAt === null ? 'never' : exactDay(expiresAt)}` }, ...choices.map((choice) => choice.days === undefined ? choice : { ...choice, label: `${choice.label} from now` })], preselected: 'keep' }
}

export function untouched (key: ManagedKey): EditForm {
  return { name: key.name, expiry: 'keep', expiryDate: '', limits: limitsOf(key) }
}

export function keyPage (view: KeyPageView): Html {
  const { site, viewer, key, faults, saved } = view
  return page({ title: key.name, site, viewer, width: 'narrow', again: Object.keys(faults).length > 0 && site.paths.key(key.id) }, html`
    <a class="crumb" href="${site.paths.list}">${icon('back')}Connected Apps</a>
    ${saved && html`<div class="notice good" role="status">${icon('check')}<p>The change is saved and in force.</p></div>`}
    <h1><bdi>${key.name}</bdi></h1>
    <p class="lead">${accessText(key.scope)}</p>
    ${key.status === 'active' && html`<p class="actions"><a class="button" href="${site.paths.rotate(key.id)}">Rotate</a><a class="button danger-quiet" href="${site.paths.revoke(key.id)}">Revoke</a></p>`}
    ${view.awaitsFirstUse && firstUse({ use: undefined, now: view.now, askAt: site.paths.use(key.id), isRotated: key.rotatedAt !== null })}
    ${facts(view)}
    ${usageSection(view.usage, view.now)}
    ${Object.keys(faults).length > 0 && faultSummary(faults, 'The key was not changed.')}
    ${key.status !== 'revoked' && changeForm(view)}
    ${history(view)}`)
}

function facts ({ key, usage: { last }, tokenPrefix, now }: KeyPageView): Html {
  const { previousToken, rateLimit } = key
  return html`<dl class="facts">
      ${fact('Status', { active: 'Active', expired: 'Expired', revoked: 'Revoked' }[key.status])}
      ${fact('Token', html`<code>${tokenPrefix}${key.hint}</code>`)}
      ${previousToken && fact('Previous token', html`<code>${tokenPrefix}${previousToken.hint}</code>, ${endOfPrevious(previousToken, now)}`)}
      ${fact('Expires', key.expiresAt === null ? 'Never' : timeView(key.expiresAt, now))}
      ${fact('Last used', lastUseView(key, last, now))}
      ${fact('Created', html`${timeView(key.createdAt, now)} by <bdi>${key.createdBy}</bdi>`)}
      ${key.rotatedAt !== null && fact('Rotated', timeView(key.rotatedAt, now))}
      ${key.revokedAt !== null && fact('Revoked', html`${timeView(key.revokedAt, now)}${key.revokedBy !== null && html` by <bdi>${key.revokedBy}</bdi>`}${key.revokeReason !== null && html`: <bdi>${key.revokeReason}</bdi>`}`)}
      ${fact('Owner', key.ownerId === null ? 'None' : html`<bdi>${key.ownerId}</bdi>`)}
      ${fact('Addresses', key.allowedCidrs === null ? 'Any' : lines(key.allowedCidrs, 'addresses and ranges'))}
      ${fact('Rate limit', rateLimit === null ? 'None' : rateText(rateLimit))}
      ${Object.keys(key.metadata).length > 0 && fact('Metadata', lines(Object.entries(key.metadata).map(([name, value]) => `${name}: ${value}`), 'fields'))}
      ${fact('Id', html`<code>${key.id}</code>`)}
    </dl>`
}

/** When the previous token of a rotated key ends, such as `ends in 1 hour`. */
export function endOfPrevious ({ endsAt, graceSeconds }: PreviousToken, now: number): Html {
  const end = timeView(endsAt, now)
  if (graceSeconds === null) return html`ends ${end}`
  return html`ends ${graceSeconds === 0 ? 'at' : `${graceText(graceSeconds)} after`} the first use of the new one, and at the latest ${end}`
}

function fact (label: string, value: Html | string): Html {
  return html`<dt>${label}</dt><dd>${value}</dd>`
}

// More than a few are folded: they would push everything else off the screen.
function lines (texts: readonly string[], noun: string): Html {
  const list = html`<ul class="lines">${texts.map((text) => html`<li><bdi>${text}</bdi></li>`)}</ul>`
  return texts.length <= linesMax ? list : html`<details class="as-table"><summary>${texts.length} ${noun}</summary>${list}</details>`
}

function changeForm (view: KeyPageView): Html {
  return html`<form class="card padded stack" method="post" action="${view.site.paths.key(view.key.id)}" novalidate>
      <h2>Edit</h2>
      ${nameField(view, false)}
      <input type="hidden" name="was_name" value="${view.key.name}">
      ${expiryField(view)}
      ${limitsField(view.form.limits, view.faults, limitsOf(view.key))}
      <div class="actions">
        ${formTokenField(view.viewer)}
        <button class="button primary" data-busy="Saving…">Save</button>
      </div>
    </form>`
}

const actions: Readonly<Record<string, string>> = {
  'key.created': 'Created',
  'key.changed': 'Changed',
  'key.rotated': 'Rotated',
  'key.revoked': 'Revoked',
  'key.revoked_again': 'Revoked again',
  'key.imported': 'Imported',
  'key.leaked': 'Reported as leaked',
  'key.token_ended': 'The previous token ended',
  'owner.revoked': 'All keys of an owner revoked',
  'owner.erased': 'An owner erased',
  'workspace.revoked': 'All keys revoked',
  'policy.changed': 'Policy changed',
  'policy.applied': 'Policy applied to all keys'
}

export function actionText (action: string): string {
  return actions[action] ?? action
}

function history ({ site, history, earlier, key, now }: KeyPageView): Html {
  return html`<section class="card padded" aria-labelledby="history-title">
      <h2 id="history-title">History</h2>
      <ol class="history">
        ${history.map(({ action, actor, at, details }) => html`<li><strong>${actionText(action)}</strong> by <bdi>${actor}</bdi><br><span class="fine">${timeView(at, now)}</span>${detailsText(details)}</li>`)}
      </ol>
      ${earlier !== null && html`<p class="actions"><a class="button small" href="${site.paths.key(key.id)}?${new URLSearchParams({ earlier }).toString()}">Earlier</a></p>`}
    </section>`
}

/** The time, client and address of the last use. */
export function lastUseView (key: ManagedKey, last: KeyUsage['last'], now: number): Html {
  if (key.lastUsedAt === null) return html`Never`
  return html`${timeView(key.lastUsedAt, now)}${last?.client != null && html` by <bdi>${last.client}</bdi>`}${last?.address != null && html` from ${last.address}`}`
}

/** `Read + Write: read, create, …`, as a sentence. */
export function accessText (scope: Scope): string {
  const { label, grants } = scopes[scope]
  return `${label}: ${grants.charAt(0).toLowerCase()}${grants.slice(1)}.`
}

/** The details of an audit entry, with the labels of these pages. */
export function detailsText (details: Readonly<Record<string, unknown>>): Html | false {
  const said = Object.entries(details).filter(([, value]) => value !== null && value !== undefined).sort(([one], [other]) => placeOf(one) - placeOf(other))
  return said.length > 0 && html`<br><span class="fine">${said.map(([name, value], index) => html`${index > 0 && ' · '}${labelOf(name)}: <bdi>${textOf(name, value)}</bdi>`)}</span>`
}

const detailLabels: Readonly<Record<string, string>> = {
  scope: 'access',
  expires_at: 'expires',
  grace_seconds: 'previous token works for',
  grace_starts: 'counted from',
  allowed_cidrs: 'addresses'
}

// The database does not keep an order. Other details come first.
function placeOf (name: string): number {
  return Object.keys(detailLabels).indexOf(name)
}

function labelOf (name: string): string {
  const label = detailLabels[name] ?? name.replaceAll('_', ' ')
  return `${label.charAt(0).toUpperCase()}${label.slice(1)}`
}

function textOf (name: string, value: unknown): string {
  if (name === 'scope' && isScope(value)) return scopes[value].label
  if (name === 'grace_starts') return value === 'first_use' ? 'the first use of the new token' : 'the rotation'
  if (name === 'grace_seconds' && typeof value === 'number') return graceText(value)
  if (typeof value !== 'string') return Array.isArray(value) ? value.join(', ') : JSON.stringify(value)
  const at = name.endsWith('_at') ? Date.parse(value) : NaN
  return Number.isNaN(at) ? value : breakableOnce(exactTime(at))
}
