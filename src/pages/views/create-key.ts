import { counted } from '../../core/counted.ts'
import type { Policy } from '../../core/policy.ts'
import { scopes, type Scope } from '../../core/scopes.ts'
import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import { dayMs, exactDay } from './times.ts'
import { limitsField, noLimits, type LimitFaults, type LimitsForm } from './limits.ts'
import { formTokenField, page, type Site, type Viewer } from './page.ts'

/** The values of the form. An invalid form is shown again with them. */
export interface CreateForm {
  readonly name: string
  readonly scope: Scope
  readonly expiry: string
  readonly expiryDate: string
  readonly limits: LimitsForm
}

export type FormFaults = Partial<Record<'name' | 'scope' | 'expiry', string>> & LimitFaults

export interface CreateKeyView {
  readonly site: Site
  readonly viewer: Viewer
  readonly form: CreateForm
  readonly faults: FormFaults
  /** Different for each form: sending the same form twice creates one key. */
  readonly formId: string
  readonly terms: Terms
  /** The first day that may be chosen, such as `2026-11-23`. */
  readonly firstDay: string
  /** The last one, if there is a maximum. */
  readonly lastDay: string | undefined
}

/** The expirations that a form offers. */
export interface Terms {
  readonly choices: readonly ExpiryChoice[]
  /** The value that a new form has selected. */
  readonly preselected: string
  readonly maxDays: number | null
  /** The latest expiry that the maximum allows, in milliseconds since the epoch; null: no maximum. */
  readonly until: number | null
}

interface ExpiryChoice {
  readonly value: string
  readonly label: string
  readonly days?: number
  /** The day on which it ends, such as `24 Feb 2027`. */
  readonly ends?: string
}

const usualDays = 90

/**
 * The expirations that a policy allows; the form does not offer others. `since`: when the newest token was created; the maximum counts from
 * then on.
 */
export function termsOf ({ maxLifetimeDays: maxDays, defaultLifetimeDays }: Policy, now: number, since = now): Terms {
  const days = Math.min(defaultLifetimeDays ?? usualDays, maxDays ?? Infinity)
  const until = maxDays === null ? null : since + maxDays * dayMs
  const endOfToday = (Math.floor(now / dayMs) + 1) * dayMs
  const allowed = [...new Set([7, 30, usualDays, days])].filter((one) => until === null || now + one * dayMs <= until).sort((a, b) => a - b)
  return {
    choices: [
      ...allowed.map((one) => ({ value: String(one), label: daysText(one), days: one, ends: exactDay(now + one * dayMs) })),
      ...until === null || until >= endOfToday ? [{ value: 'date', label: 'On a date' }] : [],
      ...maxDays === null ? [{ value: 'never', label: 'No expiration' }] : []
    ],
    preselected: String(days),
    maxDays,
    until
  }
}

export function blankForm ({ preselected }: Terms): CreateForm {
  return { name: '', scope: 'mcp:read', expiry: preselected, expiryDate: '', limits: noLimits }
}

export function daysText (days: number): string {
  return counted(days, 'day')
}

export function createKeyPage (view: CreateKeyView): Html {
  const { site, viewer, faults } = view
  const faulty = Object.keys(faults).length > 0
  return page({ title: faulty ? 'Please check: Create API key' : 'Create API key', site, viewer, width: 'narrow', again: faulty && site.paths.create }, html`
    <a class="crumb" href="${site.paths.list}">${icon('back')}Connected Apps</a>
    <h1>Create API key</h1>
    <p class="lead">${viewer.ownerId === null ? 'The key has no owner and acts for the workspace' : 'The key acts as you in'} <strong>${viewer.workspaceId}</strong> until it expires or is revoked.</p>
    ${faulty && faultSummary(faults, 'The key was not created.')}
    <form class="card padded stack" method="post" action="${site.paths.list}" novalidate>
      ${nameField(view)}
      ${scopeField(view)}
      ${expiryField(view)}
      ${limitsField(view.form.limits, faults)}
      <div class="actions">
        ${formTokenField(viewer)}
        <input type="hidden" name="form_id" value="${view.formId}">
        <button class="button primary" data-busy="Creating…">Create key</button>
        <a class="button" href="${site.paths.list}">Cancel</a>
      </div>
    </form>`)
}

export function faultSummary (faults: FormFaults, says: string): Html {
  return html`<div class="notice bad" role="alert">${icon('warn')}<div><p><strong>${says}</strong></p>
      <ul>${Object.entries(faults).map(([field, text]) => html`<li><a href="#${field}">${text}</a></li>`)}</ul></div></div>`
}

function fault (field: keyof FormFaults, faults: FormFaults): Html | false {
  return faults[field] !== undefined && html`<p class="fault" id="${field}-fault">${faults[field]}</p>`
}

export function nameField ({ form, faults }: { form: Pick<CreateForm, 'name'>, faults: FormFaults }, hasHelp = true): Html {
  const describedBy = [...hasHelp ? ['name-help'] : [], ...faults.name === undefined ? [] : ['name-fault']].join(' ')
  return html`<div class="field">
        <label for="name">Name</label>
        ${hasHelp && html`<p class="help" id="name-help">Make one key for each app, and name it after the app: “Claude Desktop”, “CI pipeline”. You can then revoke one key without affecting the others.</p>`}
        <input class="text" id="name" name="name" value="${form.name}" maxlength="100" required autocomplete="off" spellcheck="false" dir="auto" ${form.name === '' && html`autofocus`} ${describedBy !== '' && html`aria-describedby="${describedBy}"`}${faults.name !== undefined && html` aria-invalid="true"`}>
        ${fault('name', faults)}
      </div>`
}

function scopeField ({ form, faults }: CreateKeyView): Html {
  return html`<fieldset class="field" id="scope" tabindex="-1">
        <legend>Access</legend>
        <p class="help">Choose read-only when possible.</p>
        <div class="choices">
          ${Object.entries(scopes).map(([value, meaning]) => html`<label class="choice">
            <input type="radio" name="scope" value="${value}"${form.scope === value && html` checked`} aria-describedby="grants-${value.replace(':', '-')}">
            <span class="choice-label">${icon(value === 'mcp:read' ? 'eye' : 'pen')}${meaning.label}</span>
            <span class="choice-text" id="grants-${value.replace(':', '-')}">${meaning.grants}.${value === 'mcp:write' && ' Read + Write includes Read; there is no per-tool control: a write key grants every write operation.'}</span>
          </label>`)}
        </div>
        ${fault('scope', faults)}
      </fieldset>`
}

export function expiryField ({ form, faults, firstDay, lastDay, terms: { choices, maxDays, until } }: Pick<CreateKeyView, 'faults' | 'firstDay' | 'lastDay' | 'terms'> & { readonly form: Omit<CreateForm, 'scope'> }): Html {
  const lastDayText = until === null ? '' : exactDay(until - dayMs)
  return html`<fieldset class="field" id="expiry" tabindex="-1">
        <legend>Expiration</legend>
        <p class="help">Set an expiration for temporary use.${maxDays !== null && ` Keys of this workspace live for ${daysText(maxDays)} at most.`}${choices.length === 1 && ' To choose another expiration, rotate the key first: its newest token is too old.'}</p>
        <div class="pills">
          ${choices.map(({ value, label, ends }) => html`<label class="pill"><input type="radio" name="expiry" value="${value}"${form.expiry === value && html` checked`}><span>${label}${ends !== undefined && html` <small>${ends}</small>`}</span></label>`)}
        </div>
        ${choices.some(({ value }) => value === 'date') && html`<div class="field date-field">
          <label for="expiry-date">Last day</label>
          <input class="text" type="date" id="expiry-date" name="expiry_date" value="${form.expiryDate}" min="${firstDay}"${lastDay !== undefined && html` max="${lastDay}"`} aria-describedby="date-help${faults.expiry !== undefined && ' expiry-fault'}"${faults.expiry !== undefined && html` aria-invalid="true"`}>
          <p class="help" id="date-help">The key works until the end of that day, UTC.${lastDay !== undefined && ` The last day that the policy allows is ${lastDayText}.`}</p>
        </div>`}
        ${fault('expiry', faults)}
      </fieldset>`
}
