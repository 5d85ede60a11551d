import { KeysError, type Fault } from '../core/errors.ts'
import type { UpdateKey } from '../core/key-service.ts'
import type { RateLimit } from '../core/key-record.ts'
import { isScope, type Scope } from '../core/scopes.ts'
import { blankForm, type CreateForm, type FormFaults, type Terms } from './views/create-key.ts'
import type { EditForm } from './views/key-page.ts'
import { noLimits, type LimitFaults, type LimitsForm } from './views/limits.ts'
import { dayMs, exactDay } from './views/times.ts'

export interface WantedKey {
  readonly name: string
  readonly scope: Scope
  readonly expiresAt: number | null
  readonly allowedCidrs: readonly string[] | null
  readonly rateLimit: RateLimit | null
}

interface Reading {
  readonly terms: Terms
  readonly now: number
  /** The check of the key service. */
  faultsIn (described: { readonly name: string, readonly allowedCidrs: readonly string[] | null, readonly rateLimit: RateLimit | null }): readonly Fault[]
}

/** The fields of the forms for keys. */
export const fieldsOfForm = ['name', 'scope', 'expiry', 'expiry_date', 'addresses', 'rate_requests', 'rate_window']

export interface ReadForm {
  readonly form: CreateForm
  readonly faults: FormFaults
  /** Only where there are no faults. */
  readonly wanted: WantedKey | undefined
}

/** Reads the form: its values, to show them again, and the key that it asks for. The key service checks the name. */
export function readCreateForm (body: Readonly<Record<string, unknown>>, { terms, now, faultsIn }: Reading): ReadForm {
  const scope = body['scope']
  const form: CreateForm = {
    name: textOf(body['name']).trim(),
    scope: isScope(scope) ? scope : blankForm(terms).scope,
    expiry: textOf(body['expiry']),
    expiryDate: textOf(body['expiry_date']),
    limits: limitsFormOf(body)
  }
  const expiresAt = expiryOf(form, terms, now)
  const faults: FormFaults = {
    ...serviceFaults(form, faultsIn),
    ...(form.name === '' && { name: 'Enter a name for the key.' }),
    ...(!isScope(scope) && { scope: 'Choose what the key may do.' }),
    ...(expiresAt === undefined && { expiry: form.expiry === 'date' ? dateFault(terms) : 'Choose when the key expires.' }),
    ...faultsOfLimits(form.limits)
  }
  const sound = Object.keys(faults).length === 0 && expiresAt !== undefined
  return { form, faults, wanted: sound ? { name: form.name, scope: form.scope, expiresAt, allowedCidrs: cidrsOf(form.limits), rateLimit: rateLimitOf(form.limits) } : undefined }
}

export interface ReadEdit {
  readonly form: EditForm
  readonly faults: FormFaults
  /** Only where there are no faults. An omitted expiration does not change. */
  readonly change: Pick<UpdateKey, 'name' | 'expiresAt' | 'allowedCidrs' | 'rateLimit'> | undefined
}

export function readEditForm (body: Readonly<Record<string, unknown>>, { terms, now, faultsIn }: Reading): ReadEdit {
  const form: EditForm = { name: textOf(body['name']).trim(), expiry: textOf(body['expiry']), expiryDate: textOf(body['expiry_date']), limits: limitsFormOf(body) }
  const was = { name: textOf(body['was_name']), addresses: textOf(body['was_addresses']), rate: textOf(body['was_rate']) }
  const kept = form.expiry === 'keep'
  const expiresAt = kept ? null : expiryOf(form, terms, now)
  const faults: FormFaults = {
    ...serviceFaults(form, faultsIn),
    ...(form.name === '' && { name: 'Enter a name for the key.' }),
    ...(expiresAt === undefined && { expiry: form.expiry === 'date' ? dateFault(terms) : 'Choose when the key expires.' }),
    ...faultsOfLimits(form.limits)
  }
  if (Object.keys(faults).length > 0 || expiresAt === undefined) return { form, faults, change: undefined }
  return {
    form,
    faults,
    change: {
      // Compare with what the form showed, not with the key: if the form is sent again, the repeat must wait for the replicas as well. What was not
      // changed here may have been changed in another tab.
      ...(form.name !== was.name && { name: form.name }),
      ...(!kept && { expiresAt }),
      ...(listed(form.limits.addresses).join(' ') !== listed(was.addresses).join(' ') && { allowedCidrs: cidrsOf(form.limits) }),
      ...(rateTextOf(form.limits) !== rateTextOf(wasRate(was.rate)) && { rateLimit: rateLimitOf(form.limits) })
    }
  }
}

function limitsFormOf (body: Readonly<Record<string, unknown>>): LimitsForm {
  return {
    addresses: listed(textOf(body['addresses'])).join('\n'),
    rateRequests: textOf(body['rate_requests']).trim(),
    rateWindow: textOf(body['rate_window']) || noLimits.rateWindow
  }
}

function faultsOfLimits ({ rateRequests, rateWindow }: LimitsForm): LimitFaults {
  const isWhole = /^[1-9]\d{0,8}$/.test(rateRequests) && /^[1-9]\d{0,4}$/.test(rateWindow)
  return rateRequests === '' || isWhole ? {} : { rate: 'Enter a whole number of requests, such as 600, or leave the field empty.' }
}

function cidrsOf ({ addresses }: LimitsForm): readonly string[] | null {
  const cidrs = listed(addresses)
  return cidrs.length === 0 ? null : cidrs
}

function rateLimitOf ({ rateRequests, rateWindow }: LimitsForm): RateLimit | null {
  return rateRequests === '' ? null : { requests: Number(rateRequests), windowSeconds: Number(rateWindow) }
}

function rateTextOf ({ rateRequests, rateWindow }: Pick<LimitsForm, 'rateRequests' | 'rateWindow'>): string {
  return rateRequests === '' ? '' : `${rateRequests}/${rateWindow}`
}

function wasRate (text: string): Pick<LimitsForm, 'rateRequests' | 'rateWindow'> {
  const [rateRequests = '', rateWindow = ''] = text.split('/')
  return { rateRequests, rateWindow }
}

function listed (text: string): string[] {
  return text.split(/[\s,]+/).filter((one) => one !== '')
}

function serviceFaults ({ name, limits }: Pick<CreateForm, 'name' | 'limits'>, faultsIn: Reading['faultsIn']): FormFaults {
  const isRead = Object.keys(faultsOfLimits(limits)).length === 0
  return fieldFaults(faultsIn({ name, allowedCidrs: cidrsOf(limits), rateLimit: isRead ? rateLimitOf(limits) : null }))
}

function dateFault ({ until }: Terms): string {
  return until === null ? 'Choose today or a later day.' : `Choose today or a later day, and ${exactDay(until - dayMs)} at the latest: the policy allows no later one.`
}

/** The id of the form: sending the same form twice makes one change. */
export function formIdOf (body: Readonly<Record<string, unknown>>): string {
  const formId = body['form_id']
  if (typeof formId !== 'string' || !/^[0-9a-f-]{36}$/.test(formId)) throw new KeysError('invalid_request', { detail: 'The form has no id.' })
  return formId
}

export function dayOf (at: number): string {
  return new Date(at).toISOString().slice(0, 10)
}

/** The days that a form offers, both included. */
export function daysOf ({ until }: Terms, now: number): { readonly firstDay: string, readonly lastDay: string | undefined } {
  return { firstDay: dayOf(now), lastDay: until === null ? undefined : dayOf(until - dayMs) }
}

// `undefined`: invalid. A key works until the end of its last day, UTC.
function expiryOf ({ expiry, expiryDate }: Pick<CreateForm, 'expiry' | 'expiryDate'>, { choices, until }: Terms, now: number): number | null | undefined {
  const choice = choices.find(({ value }) => value === expiry)
  if (choice?.value === 'never') return null
  if (choice?.days !== undefined) return now + choice.days * dayMs
  const day = choice?.value === 'date' && /^\d{4}-\d{2}-\d{2}$/.test(expiryDate) ? Date.parse(`${expiryDate}T00:00:00Z`) : NaN
  return Number.isNaN(day) || dayOf(day) !== expiryDate || day + dayMs <= now || (until !== null && day + dayMs > until) ? undefined : day + dayMs
}

function textOf (value: unknown): string {
  return typeof value === 'string' ? value : ''
}

const fields: Readonly<Record<string, { field: keyof FormFaults, label: string }>> = {
  '/name': { field: 'name', label: 'The name' },
  '/expires_at': { field: 'expiry', label: 'The expiration' },
  '/allowed_cidrs': { field: 'addresses', label: 'The addresses' },
  '/rate_limit/requests': { field: 'rate', label: 'The number of requests' },
  '/rate_limit/window_seconds': { field: 'rate', label: 'The seconds' }
}

/** The faults that the key service found, by field of the form. */
export function faultsOf (error: KeysError): FormFaults {
  return fieldFaults(error.faults, error)
}

function fieldFaults (found: readonly Fault[], error = new Error('A fault of a field that no form has.')): FormFaults {
  const faults: FormFaults = {}
  for (const { pointer, detail } of found) {
    const [, place] = /^\/allowed_cidrs\/(\d+)$/.exec(pointer) ?? []
    const told = place === undefined ? fields[pointer] : { field: 'addresses' as const, label: `Address ${Number(place) + 1}` }
    if (told === undefined) throw error
    faults[told.field] = `${told.label} ${detail.charAt(0).toLowerCase()}${detail.slice(1)}`
  }
  return faults
}
