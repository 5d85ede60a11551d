import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { KeysError, type Fault } from '../core/errors.ts'
import type { AuditFilter, KeyCount } from '../core/key-store.ts'
import { policyFaults } from '../core/policies.ts'
import { effectivePolicy, type Policy } from '../core/policy.ts'
import { sendCsv } from '../http/csv.ts'
import type { KeyPagesContext } from './context.ts'
import { isAgain } from './form-again.ts'
import { sessionOf, viewerOf } from './viewer.ts'
import { auditPage, type AuditForm } from './views/audit.ts'
import { daysText } from './views/create-key.ts'
import { countText } from './views/key-filters.ts'
import { routes } from './views/page.ts'
import { allRevokedPage, peoplePage, revokeAllPage } from './views/people.ts'
import { confirmationOf, formOfPolicy, policyPage, type Apply, type PolicyFaults, type PolicyForm, type PolicyView } from './views/policy.ts'
import { dayMs } from './views/times.ts'

const ownersPerPage = 20
const entriesPerPage = 50
const csvRowsMax = 10_000
const csvPageRows = 500

type Given = Readonly<Record<string, unknown>>

/** Pages for admins of a workspace: people, policy, audit. Other people get a 404. */
export async function adminRoutes (app: FastifyInstance, { service, overview, policies, policyOf, settingsPolicy, site, settleUses }: KeyPagesContext): Promise<void> {
  app.addHook('onRequest', app.requirePerson)
  app.addHook('onRequest', async (request) => {
    if (request.pageSession?.person.admin !== true) throw new KeysError('not_found', { detail: 'There is no such page.' })
  })

  app.get<{ Querystring: Given }>(routes.people, async function showPeople (request, reply) {
    const { workspaceId } = sessionOf(request).person
    await settleUses()
    const [q, after] = [textOf(request.query['q']), textOf(request.query['after'])]
    const { owners: found, stoppedAt } = await overview.owners({ workspaceId, q, after: after === '' ? undefined : after, rowsMax: ownersPerPage + 1 })
    const owners = found.slice(0, ownersPerPage)
    const next = found.length > ownersPerPage ? owners.at(-1)?.ownerId ?? null : stoppedAt
    return await send(reply, peoplePage({ site, viewer: viewer(request), now: Date.now(), q, owners, next, isFirst: after === '' }))
  })

  app.get<{ Querystring: Given }>(routes.revokeAll, async function askToRevokeAll (request, reply) {
    const { workspaceId } = sessionOf(request).person
    await settleUses()
    const ownerId = textOf(request.query['owner'])
    const owner = await overview.owner({ workspaceId, ownerId })
    const { revoked } = request.query
    // Told only where it is true: anyone can make such an address.
    if (typeof revoked === 'string' && /^\d{1,9}$/.test(revoked) && owner.unrevoked === 0) return await send(reply, allRevokedPage({ site, viewer: viewer(request), ownerId, revoked: Number(revoked) }))
    return await send(reply, revokeAllPage({ site, viewer: viewer(request), now: Date.now(), owner }))
  })

  app.post<{ Body: Given }>(routes.revokeAll, { preHandler: app.requireFormToken }, async function revokeAll (request, reply) {
    const { workspaceId, actor } = sessionOf(request).person
    const ownerId = textOf(request.body['owner'])
    if (ownerId === '') throw new KeysError('invalid_request', { detail: 'The form names no owner.' })
    const { revoked } = await service.revokeWorkspace({ workspaceId, ownerId, actor, reason: 'All keys of this owner revoked in settings' })
    // Redirect, so that Back does not ask whether to send the form again.
    return await reply.redirect(`${site.paths.revokeAll}?${new URLSearchParams({ owner: ownerId, revoked: String(revoked) }).toString()}`, 303)
  })

  app.get<{ Querystring: Given }>(routes.policy, async function showPolicy (request, reply) {
    if (isAgain(request.query)) {
      const { form, policy, apply } = readPolicy(request.query)
      const faults = fieldsOfPolicy(policyFaults(policy))
      const isFaulty = Object.keys(faults).length > 0
      return await showForm(request, isFaulty ? reply.code(422) : reply, { form, apply, faults, effects: isFaulty ? [] : await effectsOf(request, policy, apply) })
    }
    const policy = await policies.get(sessionOf(request).person.workspaceId)
    const { saved } = request.query
    return await showForm(request, reply, { form: formOfPolicy(policy), apply: 'new', faults: {}, effects: [], ...typeof saved === 'string' && { saved: savedText(saved) } })
  })

  app.post<{ Body: Given }>(routes.policy, { preHandler: app.requireFormToken }, async function changePolicy (request, reply) {
    const { workspaceId, actor } = sessionOf(request).person
    const { form, policy, apply } = readPolicy(request.body)
    const isFaulty = policyFaults(policy).length > 0
    const isAsked = !isFaulty && request.body['confirmed'] !== confirmationOf({ form, apply }) && (await effectsOf(request, policy, apply)).length > 0
    // Redirect, so that Back does not ask whether to send the form again.
    if (isFaulty || isAsked) return await reply.redirect(`${site.paths.policy}?${new URLSearchParams({ ...form, apply, again: 'yes' }).toString()}`, 303)
    const { shortened } = await policies.set({ workspaceId, actor, policy, apply })
    return await reply.redirect(`${site.paths.policy}?saved=${apply === 'all' ? shortened : 'new'}`, 303)
  })

  app.get<{ Querystring: Given }>(routes.audit, async function showAudit (request, reply) {
    const { workspaceId } = sessionOf(request).person
    const form = auditFormOf(request.query)
    const cursor = textOf(request.query['cursor'])
    const { entries, nextCursor } = await service.audit({ workspaceId, ...filterOf(form), limit: entriesPerPage, cursor: cursor === '' ? undefined : cursor })
    return await send(reply, auditPage({ site, viewer: viewer(request), now: Date.now(), csvRowsMax, form, entries, nextCursor, isFirst: cursor === '' }))
  })

  app.get<{ Querystring: Given }>(routes.auditCsv, async function saveAudit (request, reply) {
    const { workspaceId } = sessionOf(request).person
    const filter = filterOf(auditFormOf(request.query))
    const rows = []
    let cursor: string | undefined
    do {
      const { entries, nextCursor } = await service.audit({ workspaceId, ...filter, limit: csvPageRows, cursor })
      for (const { at, actor, action, keyId, details } of entries) rows.push({ at: new Date(at).toISOString(), actor, action, key_id: keyId, details: JSON.stringify(details) })
      cursor = nextCursor ?? undefined
    } while (cursor !== undefined && rows.length < csvRowsMax)
    reply.header('content-disposition', 'attachment; filename="audit.csv"')
    return sendCsv(request, reply, { columns: ['at', 'actor', 'action', 'key_id', 'details'], rows })
  })

  /** What a policy will do to existing keys, with numbers; empty: nothing. */
  async function effectsOf (request: FastifyRequest, policy: Policy, apply: Apply): Promise<readonly string[]> {
    const { workspaceId } = sessionOf(request).person
    const before = await policyOf(workspaceId)
    const { maxLifetimeDays, unusedDays } = effectivePolicy(settingsPolicy, policy)
    await settleUses()
    const [longer, unused] = await Promise.all([
      apply === 'all' && maxLifetimeDays !== null && overview.longerThan({ workspaceId, days: maxLifetimeDays }),
      unusedDays !== null && unusedDays < (before.unusedDays ?? Infinity) && service.count({ workspaceId, status: 'active', unusedDays })
    ])
    return [
      ...longer !== false && isSome(longer) ? [`${numberText(longer)} will be shortened. Keys that are more than ${daysText(maxLifetimeDays!)} old end at once.`] : [],
      ...unused !== false && isSome(unused) ? [`${numberText(unused)} ${unused.count === 1 ? 'was' : 'were'} not used for ${daysText(unusedDays!)}. Each of them is announced by an event, and revoked 7 days later unless it is used.`] : []
    ]
  }

  function viewer (request: FastifyRequest) {
    return viewerOf(sessionOf(request))
  }

  async function showForm (request: FastifyRequest, reply: FastifyReply, shown: Pick<PolicyView, 'form' | 'apply' | 'faults' | 'effects' | 'saved'>) {
    return await send(reply, policyPage({ site, viewer: viewer(request), settings: settingsPolicy, ...shown }))
  }
}

async function send (reply: FastifyReply, view: { toString (): string }): Promise<FastifyReply> {
  return await reply.type('text/html; charset=utf-8').send(String(view))
}

function savedText (saved: string): string {
  if (!/^\d+$/.test(saved)) return 'The policy is saved. Its lifetimes apply to keys that are created, changed or rotated from now on.'
  return `The policy is saved. ${countText({ count: Number(saved), isExact: true })} ${saved === '1' ? 'was' : 'were'} shortened, on every replica.`
}

// A long list is counted in parts: zero may mean that the first part has none.
function isSome ({ count, isExact }: KeyCount): boolean {
  return count > 0 || !isExact
}

function numberText (count: KeyCount): string {
  return count.count === 0 ? 'An unknown number of keys' : countText(count)
}

// NaN for anything else: the core then says what is allowed.
function daysOf (text: string): number | null {
  return text === '' ? null : /^\d+$/.test(text) ? Number(text) : NaN
}

const policyFields: Readonly<Record<string, keyof PolicyForm>> = { '/max_lifetime_days': 'maxLifetimeDays', '/default_lifetime_days': 'defaultLifetimeDays', '/unused_days': 'unusedDays' }

function readPolicy (given: Given): { readonly form: PolicyForm, readonly policy: Policy, readonly apply: Apply } {
  const form: PolicyForm = { maxLifetimeDays: daysTextOf(given['maxLifetimeDays']), defaultLifetimeDays: daysTextOf(given['defaultLifetimeDays']), unusedDays: daysTextOf(given['unusedDays']) }
  return {
    form,
    policy: { maxLifetimeDays: daysOf(form.maxLifetimeDays), defaultLifetimeDays: daysOf(form.defaultLifetimeDays), unusedDays: daysOf(form.unusedDays) },
    apply: given['apply'] === 'all' ? 'all' : 'new'
  }
}

// The length limit of the field.
function daysTextOf (value: unknown): string {
  return textOf(value).slice(0, 5)
}

function fieldsOfPolicy (found: readonly Fault[]): PolicyFaults {
  const faults: PolicyFaults = {}
  for (const { pointer, detail } of found) {
    const field = policyFields[pointer]
    if (field === undefined) throw new Error(`The form for a policy has no field for ${pointer}.`)
    faults[field] = detail.startsWith('Must not be longer') ? 'Must not be longer than the maximum lifetime.' : 'Enter a whole number of days, or leave the field empty.'
  }
  return faults
}

function auditFormOf (query: Given): AuditForm {
  return { actor: textOf(query['actor']), key: textOf(query['key']), from: dayOf(textOf(query['from'])), to: dayOf(textOf(query['to'])) }
}

function filterOf ({ actor, key, from, to }: AuditForm): AuditFilter {
  return {
    ...actor !== '' && { actor },
    ...key !== '' && { keyId: key },
    ...from !== '' && { from: Date.parse(`${from}T00:00:00Z`) },
    // The filter includes the last day.
    ...to !== '' && { to: Date.parse(`${to}T00:00:00Z`) + dayMs }
  }
}

function dayOf (text: string): string {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(`${text}T00:00:00Z`)) ? text : ''
}

// Postgres refuses NUL and lone surrogates.
function textOf (value: unknown): string {
  return typeof value === 'string' ? Array.from(value.replace(/[\p{Cc}\p{Cs}]/gu, ' ').trim()).slice(0, 200).join('') : ''
}
