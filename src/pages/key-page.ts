import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { KeysError } from '../core/errors.ts'
import type { ManagedKey } from '../core/key-record.ts'
import type { KeyPagesContext } from './context.ts'
import { daysOf, faultsOf, fieldsOfForm, readEditForm } from './create-form.ts'
import { awaitsFirstUse } from './first-use.ts'
import { formAgainAt, isAgain } from './form-again.ts'
import { ownKeyOf } from './own-key.ts'
import { sessionOf, viewerOf } from './viewer.ts'
import { termsOf, type FormFaults } from './views/create-key.ts'
import { keptTerms, keyPage, untouched, type EditForm } from './views/key-page.ts'
import { routes } from './views/page.ts'

const entriesPerPage = 20

type KeyRequest = FastifyRequest<{ Params: { keyId: string }, Querystring: Record<string, unknown> }>
interface Shown { readonly key: ManagedKey, readonly form: EditForm, readonly faults: FormFaults }

/** The page of a key, and its form to change the key. */
export async function keyPageRoutes (app: FastifyInstance, { service, reports, site, tokenPrefix, policyOf, settleUses, secrets }: KeyPagesContext): Promise<void> {
  app.addHook('onRequest', app.requirePerson)

  app.get<{ Params: { keyId: string }, Querystring: Record<string, unknown> }>(routes.key(':keyId'), async function showKey (request, reply) {
    await settleUses()
    const key = await ownKeyOf(request, service)
    if (!isAgain(request.query)) return await show(request, reply, { key, form: untouched(key), faults: {} })
    const { form, faults } = readEditForm(request.query, await reading(key))
    return await show(request, reply.code(422), { key, form, faults })
  })

  app.post<{ Params: { keyId: string }, Body: Record<string, unknown>, Querystring: Record<string, unknown> }>(routes.key(':keyId'), { preValidation: secrets.refuseStoredSecrets, preHandler: app.requireFormToken }, async function changeKey (request, reply) {
    const key = await ownKeyOf(request, service)
    const { form, faults, change } = readEditForm(request.body, await reading(key))
    if (change === undefined) {
      const again = formAgainAt(site.paths.key(key.id), request.body, { names: fieldsOfForm, holdsSecret: secrets.holdsSecret })
      if (again !== undefined) return await reply.redirect(again, 303)
      // A name that contains a token is not shown again.
      return await show(request, reply.code(422), { key, form: { ...form, name: secrets.holdsSecret(form.name) ? key.name : form.name }, faults })
    }
    try {
      const { workspaceId, actor } = sessionOf(request).person
      await service.update({ workspaceId, keyId: key.id, actor, ...change })
    } catch (error) {
      if (!(error instanceof KeysError) || error.code !== 'invalid_request' || error.faults.length === 0) throw error
      // The refused name may contain a token: do not show it again.
      return await show(request, reply.code(422), { key, form: { ...form, name: key.name }, faults: faultsOf(error) })
    }
    return await reply.redirect(`${site.paths.key(key.id)}?saved=yes`, 303)
  })

  async function reading (key: ManagedKey): Promise<Parameters<typeof readEditForm>[1]> {
    const now = Date.now()
    return { terms: keptTerms(termsOf(await policyOf(key.workspaceId), now, madeAt(key)), key), now, faultsIn: (described) => service.faultsIn(described) }
  }

  async function show (request: KeyRequest, reply: FastifyReply, { key, form, faults }: Shown) {
    const session = sessionOf(request)
    const { earlier, saved } = request.query as { readonly earlier?: unknown, readonly saved?: unknown }
    const [{ entries, nextCursor }, policy, usage] = await Promise.all([
      service.audit({ workspaceId: key.workspaceId, keyId: key.id, limit: entriesPerPage, cursor: typeof earlier === 'string' ? earlier : undefined }),
      policyOf(key.workspaceId),
      reports.usage({ workspaceId: key.workspaceId, keyId: key.id })
    ])
    const now = Date.now()
    const terms = termsOf(policy, now, madeAt(key))
    return await reply.type('text/html; charset=utf-8').send(String(keyPage({
      site, viewer: viewerOf(session), now, key, tokenPrefix, form, faults, terms: keptTerms(terms, key), ...daysOf(terms, now), usage, history: entries, earlier: nextCursor, saved: saved === 'yes', awaitsFirstUse: awaitsFirstUse(key, now)
    })))
  }
}

/** When the newest token was created: the maximum of a policy counts from then on. */
function madeAt ({ createdAt, rotatedAt }: ManagedKey): number {
  return rotatedAt ?? createdAt
}
