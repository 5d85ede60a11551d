import type { Policy } from '../../core/policy.ts'
import { adminLinks } from './admin-links.ts'
import { daysText } from './create-key.ts'
import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import { formTokenField, page, type Site, type Viewer } from './page.ts'

export interface PolicyForm {
  readonly maxLifetimeDays: string
  readonly defaultLifetimeDays: string
  readonly unusedDays: string
}

export type PolicyFaults = Partial<Record<keyof PolicyForm, string>>

/** Whether existing keys that live longer are shortened. */
export type Apply = 'new' | 'all'

export interface PolicyView {
  readonly site: Site
  readonly viewer: Viewer
  readonly form: PolicyForm
  readonly apply: Apply
  readonly faults: PolicyFaults
  /** The policy of the settings, for every workspace. */
  readonly settings: Policy
  /** A text about what was saved. */
  readonly saved?: string
  /** What will happen to existing keys, to be confirmed. */
  readonly effects: readonly string[]
}

const fields: ReadonlyArray<{ readonly name: keyof PolicyForm, readonly label: string, readonly help: string }> = [
  { name: 'maxLifetimeDays', label: 'Maximum lifetime, in days', help: 'Counted from the creation of a key’s newest token. Binds keys when they are created, changed or rotated. Empty: no maximum.' },
  { name: 'defaultLifetimeDays', label: 'Default lifetime, in days', help: 'The expiration that is preselected for a new key. Empty: the maximum; where there is none, 90 days on this page and no expiration through the API.' },
  { name: 'unusedDays', label: 'Maximum time without use, in days', help: 'Keys that are not used for this long are revoked, 7 days after an event has announced it. Binds all keys. Empty: never.' }
]

export function formOfPolicy ({ maxLifetimeDays, defaultLifetimeDays, unusedDays }: Policy): PolicyForm {
  const text = (days: number | null): string => days === null ? '' : String(days)
  return { maxLifetimeDays: text(maxLifetimeDays), defaultLifetimeDays: text(defaultLifetimeDays), unusedDays: text(unusedDays) }
}

/** What a person has confirmed: a change of the form after it is asked about again. */
export function confirmationOf ({ form, apply }: Pick<PolicyView, 'form' | 'apply'>): string {
  return [...Object.values(form), apply].join(' ')
}

export function policyPage ({ site, viewer, form, apply, faults, settings, saved, effects }: PolicyView): Html {
  const asks = effects.length > 0
  return page({ title: 'Policy', site, viewer, again: (Object.keys(faults).length > 0 || asks) && site.paths.policy }, html`
    <div class="heading"><div>
      <p class="eyebrow">Settings</p>
      <h1>Policy</h1>
      <p class="lead">How long the keys of <strong>${viewer.workspaceId}</strong> may live, and when unused ones are revoked.</p>
    </div></div>
    ${adminLinks(site, 'policy')}
    ${saved !== undefined && html`<div class="notice good" role="status">${icon('check')}<p>${saved}</p></div>`}
    ${Object.keys(faults).length > 0 && html`<div class="notice bad" role="alert">${icon('warn')}<p><strong>The policy was not changed.</strong></p></div>`}
    <form class="card padded stack form-narrow" method="post" action="${site.paths.policy}" novalidate>
      ${fields.map((field) => numberField(field, form, faults, settings))}
      <fieldset class="field">
        <legend>Existing keys that live longer</legend>
        <div class="choices">
          <label class="choice"><input type="radio" name="apply" value="new"${apply === 'new' && html` checked`}><span class="choice-label">Do not change them</span><span class="choice-text">The maximum binds them when they are changed or rotated.</span></label>
          <label class="choice"><input type="radio" name="apply" value="all"${apply === 'all' && html` checked`}><span class="choice-label">Shorten them too</span><span class="choice-text">You first see how many.</span></label>
        </div>
      </fieldset>
      ${asks && html`<div class="notice bad" role="alert">${icon('warn')}<div><p><strong>This changes existing keys. Nothing is saved yet.</strong></p><ul>${effects.map((effect) => html`<li>${effect}</li>`)}</ul></div></div><input type="hidden" name="confirmed" value="${confirmationOf({ form, apply })}">`}
      <div class="actions">
        ${formTokenField(viewer)}
        <button class="button ${asks ? 'danger' : 'primary'}" data-busy="Saving…">${asks ? 'Save and change these keys' : 'Save'}</button>
        ${asks && html`<a class="button" href="${site.paths.policy}">Cancel</a>`}
      </div>
    </form>`)
}

function numberField ({ name, label, help }: typeof fields[number], form: PolicyForm, faults: PolicyFaults, settings: Policy): Html {
  const demanded = settings[name]
  const fault = faults[name]
  return html`<div class="field">
        <label for="${name}">${label}</label>
        <p class="help" id="${name}-help">${help}${demanded !== null && ` The settings of the service say ${daysText(demanded)}${name === 'defaultLifetimeDays' ? ', if this is empty' : ', and the stricter value applies'}.`}</p>
        <input class="text days" id="${name}" name="${name}" value="${form[name]}" inputmode="numeric" maxlength="5" autocomplete="off" aria-describedby="${name}-help${fault !== undefined && ` ${name}-fault`}"${fault !== undefined && html` aria-invalid="true"`}>
        ${fault !== undefined && html`<p class="fault" id="${name}-fault">${fault}</p>`}
      </div>`
}
