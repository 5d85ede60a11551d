import { isScope, type Scope } from '../core/scopes.ts'
import { blankForm, type CreateForm, type FormFaults, type Terms } from './views/create-key.ts'
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

export function dayOf (at: number): string {
  return new Date(at).toISOString().slice(0, 10)
}

/** `undefined`: none that can be. The last day counts to its end: the next one's first moment is the first without the key. */
export function expiryOf ({ expiry, expiryDate }: Pick<CreateForm, 'expiry' | 'expiryDate'>, { choices }: Terms, now: number): number | null | undefined {
  const choice = choices.find(({ value }) => value === expiry)
  if (choice?.value === 'never') return null
  if (choice?.days !== undefined) return now + choice.days * dayMs
  const day = choice?.value === 'date' && /^\d{4}-\d{2}-\d{2}$/.test(expiryDate) ? Date.parse(`${expiryDate}T00:00:00Z`) : NaN
  return Number.isNaN(day) || dayOf(day) !== expiryDate || day + dayMs <= now ? undefined : day + dayMs
}

function textOf (value: unknown): string {
  return typeof value === 'string' ? value : ''
}
