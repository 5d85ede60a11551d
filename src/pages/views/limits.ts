import { counted } from '../../core/counted.ts'
import type { ManagedKey, RateLimit } from '../../core/key-record.ts'
import { html, type Html } from './html.ts'

/** The values of the limits in a form. */
export interface LimitsForm {
  /** Addresses and ranges, one per line. */
  readonly addresses: string
  readonly rateRequests: string
  /** Seconds. */
  readonly rateWindow: string
}

export type LimitFaults = Partial<Record<'addresses' | 'rate', string>>

export const noLimits: LimitsForm = { addresses: '', rateRequests: '', rateWindow: '60' }

export function limitsOf ({ allowedCidrs, rateLimit }: Pick<ManagedKey, 'allowedCidrs' | 'rateLimit'>): LimitsForm {
  return {
    addresses: allowedCidrs?.join('\n') ?? '',
    rateRequests: rateLimit === null ? '' : String(rateLimit.requests),
    rateWindow: rateLimit === null ? noLimits.rateWindow : String(rateLimit.windowSeconds)
  }
}

const windows: ReadonlyArray<{ readonly seconds: number, readonly label: string }> = [
  { seconds: 1, label: 'second' },
  { seconds: 60, label: 'minute' },
  { seconds: 3600, label: 'hour' },
  { seconds: 86_400, label: 'day' }
]

export function rateText ({ requests, windowSeconds }: RateLimit): string {
  return `${requests.toLocaleString('en')} ${requests === 1 ? 'request' : 'requests'} per ${windowText(windowSeconds)}`
}

function windowText (seconds: number): string {
  const known = windows.find((window) => window.seconds === seconds)
  return known === undefined ? counted(seconds, 'second') : known.label
}

/** Folded, because most keys have no limits; open if a limit is set or invalid. `was`: the values that the form showed first, to change only what the person changed. */
export function limitsField (form: LimitsForm, faults: LimitFaults, was?: LimitsForm): Html {
  const isOpen = form.addresses !== '' || form.rateRequests !== '' || faults.addresses !== undefined || faults.rate !== undefined
  const offered = windows.some(({ seconds }) => String(seconds) === form.rateWindow) || !/^[1-9]\d{0,4}$/.test(form.rateWindow)
    ? windows
    : [...windows, { seconds: Number(form.rateWindow), label: counted(Number(form.rateWindow), 'second') }]
  return html`<details class="field limits"${isOpen && html` open`}>
        <summary>Limits <span class="fine">optional</span></summary>
        ${was !== undefined && html`<input type="hidden" name="was_addresses" value="${was.addresses.replaceAll('\n', ' ')}"><input type="hidden" name="was_rate" value="${was.rateRequests}/${was.rateWindow}">`}
        <div class="field">
          <label for="addresses">Only from these addresses</label>
          <p class="help" id="addresses-help">One address or range per line, such as 192.0.2.7 or 2001:db8::/32. Empty: from anywhere.</p>
          <textarea class="text mono" id="addresses" name="addresses" rows="${Math.min(8, Math.max(3, form.addresses.split('\n').length))}" autocomplete="off" spellcheck="false" aria-describedby="addresses-help${faults.addresses !== undefined && ' addresses-fault'}"${faults.addresses !== undefined && html` aria-invalid="true"`}>${form.addresses}</textarea>
          ${faults.addresses !== undefined && html`<p class="fault" id="addresses-fault">${faults.addresses}</p>`}
        </div>
        <fieldset class="field" id="rate" tabindex="-1">
          <legend>Rate limit</legend>
          <p class="help" id="rate-help">Further requests are refused with status 429. Empty: no limit.</p>
          <div class="rate">
            <input class="text" id="rate-requests" name="rate_requests" value="${form.rateRequests}" inputmode="numeric" maxlength="9" autocomplete="off" aria-label="Requests" aria-describedby="rate-help${faults.rate !== undefined && ' rate-fault'}"${faults.rate !== undefined && html` aria-invalid="true"`}>
            <label for="rate-window">per</label>
            <select class="text" id="rate-window" name="rate_window">${offered.map(({ seconds, label }) => html`<option value="${seconds}"${String(seconds) === form.rateWindow && html` selected`}>${label}</option>`)}</select>
          </div>
          ${faults.rate !== undefined && html`<p class="fault" id="rate-fault">${faults.rate}</p>`}
        </fieldset>
      </details>`
}
