import { KeysError } from '../core/errors.ts'
import { isScope, type Scope } from '../core/scopes.ts'
import { blankForm, type CreateForm, type FormFaults, type Terms } from './views/create-key.ts'
import type { EditForm } from './views/key-page.ts'
import { dayMs } from './views/times.ts'

export interface WantedKey {
  readonly name: string
  readonly scope: Scope
  readonly expiresAt: number | null
}

export interface ReadForm {
  readonly form: CreateForm
  readonly faults: FormFaults
  /** Only where there are no faults. */
  readonly wanted: WantedKey | undefined
}

/** What was sent, as it can be shown again, and what it asks for. What a name may be is the key service's to say. */
export function readCreateForm (body: Readonly<Record<string, unknown>>, terms: Terms, now: number): ReadForm {
  const scope = body['scope']
  const form: CreateForm = {
    name: textOf(body['name']).trim(),
    scope: isScope(scope) ? scope : blankForm(terms).scope,
    expiry: textOf(body['expiry']),
    expiryDate: textOf(body['expiry_date'])
  }
  const expiresAt = expiryOf(form, terms, now)
  const faults: FormFaults = {
    ...(form.name === '' && { name: 'Give the key a name.' }),
    ...(!isScope(scope) && { scope: 'Choose what the key may do.' }),
    ...(expiresAt === undefined && { expiry: form.expiry === 'date' ? 'Choose today or a later day.' : 'Choose when the key expires.' })
  }
  const sound = Object.keys(faults).length === 0 && expiresAt !== undefined
  return { form, faults, wanted: sound ? { name: form.name, scope: form.scope, expiresAt } : undefined }
}

export interface ReadEdit {
  readonly form: EditForm
  readonly faults: FormFaults
  /** Only where there are no faults. An expiration that is left out stays. */
  readonly change: { readonly name: string, readonly expiresAt?: number | null } | undefined
}

export function readEditForm (body: Readonly<Record<string, unknown>>, terms: Terms, now: number): ReadEdit {
  const form: EditForm = { name: textOf(body['name']).trim(), expiry: textOf(body['expiry']), expiryDate: textOf(body['expiry_date']) }
  const kept = form.expiry === 'keep'
  const expiresAt = kept ? null : expiryOf(form, terms, now)
  const faults: FormFaults = {
    ...(form.name === '' && { name: 'Give the key a name.' }),
    ...(expiresAt === undefined && { expiry: form.expiry === 'date' ? 'Choose today or a later day.' : 'Choose when the key expires.' })
  }
  if (Object.keys(faults).length > 0 || expiresAt === undefined) return { form, faults, change: undefined }
  return { form, faults, change: { name: form.name, ...(!kept && { expiresAt }) } }
}

/** What makes sending one form twice one change. */
export function formIdOf (body: Readonly<Record<string, unknown>>): string {
  const formId = body['form_id']
  if (typeof formId !== 'string' || !/^[0-9a-f-]{36}$/.test(formId)) throw new KeysError('invalid_request', { detail: 'The form has no id.' })
  return formId
}

export function dayOf (at: number): string {
  return new Date(at).toISOString().slice(0, 10)
}

// `undefined`: none that can be. The last day counts to its end: the next one's first moment is the first without the key.
function expiryOf ({ expiry, expiryDate }: Pick<CreateForm, 'expiry' | 'expiryDate'>, { choices }: Terms, now: number): number | null | undefined {
  const choice = choices.find(({ value }) => value === expiry)
  if (choice?.value === 'never') return null
  if (choice?.days !== undefined) return now + choice.days * dayMs
  const day = choice?.value === 'date' && /^\d{4}-\d{2}-\d{2}$/.test(expiryDate) ? Date.parse(`${expiryDate}T00:00:00Z`) : NaN
  return Number.isNaN(day) || dayOf(day) !== expiryDate || day + dayMs <= now ? undefined : day + dayMs
}

function textOf (value: unknown): string {
  return typeof value === 'string' ? value : ''
}

const fields: Readonly<Record<string, { field: keyof FormFaults, label: string }>> = {
  '/name': { field: 'name', label: 'The name' },
  '/expires_at': { field: 'expiry', label: 'The expiration' }
}

/** What the key service refused, beside the fields of the form. */
export function faultsOf (error: KeysError): FormFaults {
  const faults: FormFaults = {}
  for (const { pointer, detail } of error.faults) {
    const told = fields[pointer]
    if (told === undefined) throw error
    faults[told.field] = `${told.label} ${detail.charAt(0).toLowerCase()}${detail.slice(1)}`
  }
  return faults
}
