import type { ManagedKey } from '../../core/key-record.ts'
import type { KeyUsage } from '../../core/usage-reports.ts'
import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import { formTokenField, page, type Site, type Viewer } from './page.ts'
import { dayMs, timeView } from './times.ts'
import { daysText } from './create-key.ts'
import { firstUse } from './first-use.ts'
import { endOfPrevious, lastUseView } from './key-page.ts'
import { tokenOnce, type SetUpView } from './token-once.ts'

export interface GraceChoice {
  readonly value: string
  readonly label: string
  readonly seconds: number
}

export const graceChoices: readonly GraceChoice[] = [
  { value: '0', label: 'No time', seconds: 0 },
  { value: '3600', label: '1 hour', seconds: 3600 },
  { value: '86400', label: '1 day', seconds: 86_400 },
  { value: '604800', label: '1 week', seconds: 604_800 }
]

interface RotateView {
  readonly site: Site
  readonly viewer: Viewer
  readonly key: ManagedKey
  readonly tokenPrefix: string
  readonly now: number
  readonly formId: string
  readonly last: KeyUsage['last']
  /** The maximum lifetime of the policy. */
  readonly maxDays: number | null
  readonly fault?: string
}

export function rotatePage ({ site, viewer, key, tokenPrefix, now, formId, last, maxDays, fault }: RotateView): Html {
  return page({ title: 'Rotate a key', site, viewer, width: 'narrow', again: fault !== undefined && site.paths.rotate(key.id) }, html`
    <a class="crumb" href="${site.paths.key(key.id)}">${icon('back')}Back to the key</a>
    <h1>Rotate “<bdi>${key.name}</bdi>”</h1>
    <p class="lead">The key gets a new token; its name, access and history stay the same.</p>
    ${fault !== undefined && html`<div class="notice bad" role="alert">${icon('warn')}<p>${fault}</p></div>`}
    <dl class="facts">
      <dt>Current token</dt><dd><code>${tokenPrefix}${key.hint}</code></dd>
      <dt>Last used</dt><dd>${lastUseView(key, last, now)}</dd>
      ${key.previousToken && html`<dt>Token before</dt><dd><code>${tokenPrefix}${key.previousToken.hint}</code>, still works; it ends with this rotation</dd>`}
      <dt>Expires</dt><dd>${expiryAfter(key, maxDays, now)}</dd>
    </dl>
    <form class="card padded stack" method="post" action="${site.paths.rotate(key.id)}">
      <fieldset class="field">
        <legend>The current token still works for</legend>
        <p class="help">Choose “No time” if it may have leaked; otherwise choose as long as you need to replace it in your app.</p>
        <div class="pills">
          ${graceChoices.map(({ value, label }) => html`<label class="pill"><input type="radio" name="grace" value="${value}"${value === '86400' && html` checked`}><span>${label}</span></label>`)}
        </div>
      </fieldset>
      <fieldset class="field">
        <legend>Counted from</legend>
        <p class="help">With “First use of the new token”, the current token works until your app uses the new one; it ends after at most 30 days.</p>
        <div class="pills">
          <label class="pill"><input type="radio" name="starts" value="now" checked><span>Now</span></label>
          <label class="pill"><input type="radio" name="starts" value="first_use"><span>First use of the new token</span></label>
        </div>
      </fieldset>
      <div class="actions">
        ${formTokenField(viewer)}
        <input type="hidden" name="form_id" value="${formId}">
        <button class="button primary" data-busy="Rotating…">Rotate key</button>
        <a class="button" href="${site.paths.key(key.id)}">Cancel</a>
      </div>
    </form>`)
}

// A rotation lengthens no life, and the policy may shorten it.
function expiryAfter ({ expiresAt }: ManagedKey, maxDays: number | null, now: number): Html | string {
  const longest = maxDays === null ? Infinity : now + maxDays * dayMs
  if ((expiresAt ?? Infinity) > longest) return html`${timeView(longest, now)} after this rotation: the policy allows ${daysText(maxDays!)}`
  return expiresAt === null ? 'Never. The rotation does not change this.' : html`${timeView(expiresAt, now)}. The rotation does not change this.`
}

interface KeyRotatedView extends SetUpView {
  readonly site: Site
  readonly viewer: Viewer
  readonly key: ManagedKey
  readonly hintBefore: string
  /** Whether a use can be attributed to the new token. */
  readonly isUseTold: boolean
  readonly tokenPrefix: string
  readonly now: number
}

/** Contains the new token; no other answer does. */
export function keyRotatedPage (view: KeyRotatedView): Html {
  const { site, viewer, key, tokenPrefix, hintBefore, now } = view
  return page({ title: 'Your new token', site, viewer, width: 'narrow' }, html`
    <div data-once="${site.paths.key(key.id)}">
      <h1>“<bdi>${key.name}</bdi>” has a new token</h1>
      <dl class="facts">
        <dt>New token</dt><dd><code>${tokenPrefix}${key.hint}</code>, ${key.expiresAt === null ? 'does not expire' : html`expires ${timeView(key.expiresAt, now)}`}</dd>
        <dt>Previous token</dt><dd><code>${tokenPrefix}${hintBefore}</code>, ${key.previousToken === null ? 'is refused from now on' : endOfPrevious(key.previousToken, now)}</dd>
      </dl>
      ${tokenOnce(view, view.isUseTold && firstUse({ use: undefined, now, askAt: site.paths.use(key.id), lookAt: site.paths.key(key.id) }))}
      <p class="actions after"><a class="button primary" href="${site.paths.key(key.id)}">Done</a></p>
    </div>`)
}
