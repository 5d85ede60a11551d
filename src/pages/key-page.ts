import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { KeysError } from '../core/errors.ts'
import type { ManagedKey } from '../core/key-record.ts'
import type { SettingsContext } from './context.ts'
import { daysOf, faultsOf, readEditForm } from './create-form.ts'
import { ownKeyOf } from './own-key.ts'
import { sessionOf, viewerOf } from './viewer.ts'
import { termsOf, type FormFaults } from './views/create-key.ts'
import { keptTerms, keyPage, untouched, type EditForm } from './views/key-page.ts'
import { routes } from './views/page.ts'

const entriesPerPage = 20

type KeyRequest = FastifyRequest<{ Params: { keyId: string }, Querystring: { saved?: unknown, earlier?: unknown } }>
interface Shown { readonly key: ManagedKey, readonly form: EditForm, readonly faults: FormFaults }

/** A key's own page, and changing its name and expiration there. */
export async function keyPageRoutes (app: FastifyInstance, { service, reports, site, tokenPrefix, policyOf, settleUses }: SettingsContext): Promise<void> {
  app.addHook('onRequest', app.requirePerson)

  app.get<{ Params: { keyId: string }, Querystring: { saved?: unknown, earlier?: unknown } }>(routes.key(':keyId'), async function showKey (request, reply) {
    await settleUses()
    const key = await ownKeyOf(request, service)
    return await show(request, reply, { key, form: untouched(key), faults: {} })
  })

  app.post<{ Params: { keyId: string }, Body: Record<string, unknown>, Querystring: { saved?: unknown, earlier?: unknown } }>(routes.key(':keyId'), { preValidation: app.refuseStoredSecrets, preHandler: app.requireFormToken }, async function changeKey (request, reply) {
    const key = await ownKeyOf(request, service)
    const terms = keptTerms(termsOf(await policyOf(key.workspaceId)))
    const { form, faults, change } = readEditForm(request.body, terms, Date.now())
    if (change === undefined) return await show(request, reply.code(422), { key, form, faults })
    try {
      const { workspaceId, actor } = sessionOf(request).person
      await service.update({ workspaceId, keyId: key.id, actor, ...change })
    } catch (error) {
      if (!(error instanceof KeysError) || error.code !== 'invalid_request' || error.faults.length === 0) throw error
      // Whatever was refused may hold a token by mistake: it is not shown again.
      return await show(request, reply.code(422), { key, form: { ...form, name: key.name }, faults: faultsOf(error) })
    }
    return await reply.redirect(`${site.paths.key(key.id)}?saved=yes`, 303)
  })

  async function show (request: KeyRequest, reply: FastifyReply, { key, form, faults }: Shown) {
    const session = sessionOf(request)
    const { earlier, saved } = request.query
    const [{ entries, nextCursor }, policy, usage] = await Promise.all([
      service.audit({ workspaceId: key.workspaceId, keyId: key.id, limit: entriesPerPage, cursor: typeof earlier === 'string' ? earlier : undefined }),
      policyOf(key.workspaceId),
      reports.usage({ workspaceId: key.workspaceId, keyId: key.id })
    ])
    const terms = termsOf(policy)
    const now = Date.now()
    return await reply.type('text/html; charset=utf-8').send(String(keyPage({
      site, viewer: viewerOf(session), now, key, tokenPrefix, form, faults, terms: keptTerms(terms), ...daysOf(terms, now), usage, history: entries, earlier: nextCursor, saved: saved === 'yes'
    })))
  }
}
