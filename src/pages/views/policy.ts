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

interface PolicyView {
  readonly site: Site
  readonly viewer: Viewer
  readonly form: PolicyForm
  readonly faults: PolicyFaults
  /** The policy of the settings, for every workspace. */
  readonly settings: Policy
  /** A text about what was saved. */
  readonly saved?: string
  /** A text about what will be changed, to be confirmed. */
  readonly asks?: string
}

const fields: ReadonlyArray<{ readonly name: keyof PolicyForm, readonly label: string, readonly help: string }> = [
  { name: 'maxLifetimeDays', label: 'Maximum lifetime, in days', help: 'Counted from the creation of a key’s newest token. Empty: no maximum.' },
  { name: 'defaultLifetimeDays', label: 'Default lifetime, in days', help: 'The expiration that is preselected for a new key. Empty: 90 days on this page, and no expiration through the API.' },
  { name: 'unusedDays', label: 'Maximum time without use, in days', help: 'Keys that are not used for this long are revoked, 7 days after an event has announced it. Empty: never.' }
]

export function formOfPolicy ({ maxLifetimeDays, defaultLifetimeDays, unusedDays }: Policy): PolicyForm {
  const text = (days: number | null): string => days === null ? '' : String(days)
  return { maxLifetimeDays: text(maxLifetimeDays), defaultLifetimeDays: text(defaultLifetimeDays), unusedDays: text(unusedDays) }
}

export function policyPage ({ site, viewer, form, faults, settings, saved, asks }: PolicyView): Html {
  return page({ title: 'Policy', site, viewer, again: (Object.keys(faults).length > 0 || asks !== undefined) && site.paths.policy }, html`
    <div class="heading"><div>
      <p class="eyebrow">Settings</p>
      <h1>Policy</h1>
      <p class="lead">How long the keys of <strong>${viewer.workspaceId}</strong> may live. It applies to keys that are created, changed or rotated from now on.</p>
    </div></div>
    ${adminLinks(site, 'policy')}
    ${saved !== undefined && html`<div class="notice good" role="status">${icon('check')}<p>${saved}</p></div>`}
    ${Object.keys(faults).length > 0 && html`<div class="notice bad" role="alert">${icon('warn')}<p><strong>The policy was not changed.</strong></p></div>`}
    <form class="card padded stack form-narrow" method="post" action="${site.paths.policy}" novalidate>
      ${fields.map((field) => numberField(field, form, faults, settings))}
      <fieldset class="field">
        <legend>Existing keys that live longer</legend>
        <div class="choices">
          <label class="choice"><input type="radio" name="apply" value="new"${asks === undefined && html` checked`}><span class="choice-label">Do not change them</span><span class="choice-text">The policy applies when they are changed or rotated.</span></label>
          <label class="choice"><input type="radio" name="apply" value="all"${asks !== undefined && html` checked`}><span class="choice-label">Shorten them too</span><span class="choice-text">The page first shows how many.</span></label>
        </div>
      </fieldset>
      ${asks !== undefined && html`<div class="notice bad" role="alert">${icon('warn')}<p><strong>${asks}</strong> Press “Shorten and save” to do it.</p></div><input type="hidden" name="confirmed" value="${form.maxLifetimeDays}">`}
      <div class="actions">
        ${formTokenField(viewer)}
        <button class="button ${asks === undefined ? 'primary' : 'danger'}" data-busy="Saving…">${asks === undefined ? 'Save' : 'Shorten and save'}</button>
        ${asks !== undefined && html`<a class="button" href="${site.paths.policy}">Cancel</a>`}
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
