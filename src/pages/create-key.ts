import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { KeysError } from '../core/errors.ts'
import { blankForm, createKeyPage, termsOf, type CreateForm, type FormFaults, type Terms } from './views/create-key.ts'
import { alreadyCreatedPage, keyCreatedPage } from './views/key-created.ts'
import { routes } from './views/page.ts'
import type { KeyPagesContext } from './context.ts'
import { daysOf, faultsOf, fieldsOfForm, formIdOf, readCreateForm, type WantedKey } from './create-form.ts'
import { formAgainAt, isAgain } from './form-again.ts'
import { setUpOf } from './set-up.ts'
import { sessionOf, viewerOf } from './viewer.ts'

export async function createKeyRoutes (app: FastifyInstance, { service, site, mcpServer, tryUrl, policyOf, secrets }: KeyPagesContext): Promise<void> {
  app.addHook('onRequest', app.requirePerson)

  app.get<{ Querystring: Record<string, unknown> }>(routes.create, async function askForKey (request, reply) {
    const terms = await termsFor(request)
    if (isAgain(request.query)) {
      const { form, faults } = readCreateForm(request.query, reading(terms))
      return await showForm(request, reply.code(422), { form, faults, terms })
    }
    return await showForm(request, reply, { form: blankForm(terms), faults: {}, terms })
  })

  // Answer directly, not with a redirect: otherwise something would have to store the token until the next request.
  app.post<{ Body: Record<string, unknown> }>(routes.list, { preValidation: secrets.refuseStoredSecrets, preHandler: app.requireFormToken }, async function createKey (request, reply) {
    const terms = await termsFor(request)
    const { form, faults, wanted } = readCreateForm(request.body, reading(terms))
    if (wanted === undefined) {
      const again = formAgainAt(site.paths.create, request.body, { names: fieldsOfForm, holdsSecret: secrets.holdsSecret })
      if (again !== undefined) return await reply.redirect(again, 303)
      // A name that contains a token is not shown again.
      return await showForm(request, reply.code(422), { form: { ...form, name: secrets.holdsSecret(form.name) ? '' : form.name }, faults, terms })
    }
    const session = sessionOf(request)
    const pages = { site, viewer: viewerOf(session) }
    const made = await make(request, wanted)
    reply.type('text/html; charset=utf-8')
    switch (made.outcome) {
      case 'made': {
        return await reply.code(201).send(String(keyCreatedPage({ ...pages, key: made.key, now: Date.now(), ...setUpOf(request, { token: made.token, mcpServer, tryUrl }) })))
      }
      case 'repeated': return await reply.code(409).send(String(alreadyCreatedPage(pages)))
      // The refused name may contain a token: do not show it again.
      case 'refused': return await showForm(request, reply.code(422), { form: { ...form, name: '' }, faults: made.faults, terms })
    }
  })

  async function make (request: FastifyRequest<{ Body: Record<string, unknown> }>, wanted: WantedKey) {
    const { person } = sessionOf(request)
    const formId = formIdOf(request.body)
    try {
      const created = await service.create({ ...wanted, workspaceId: person.workspaceId, ownerId: person.ownerId, actor: person.actor, idempotencyKey: `form ${formId}` })
      return { outcome: 'made' as const, ...created }
    } catch (error) {
      if (!(error instanceof KeysError)) throw error
      // The same form again. Its body differs when "in 7 days" has become another time.
      if (error.code === 'already_created' || error.code === 'idempotency_key_reused') return { outcome: 'repeated' as const }
      if (error.code === 'invalid_request' && error.faults.length > 0) return { outcome: 'refused' as const, faults: faultsOf(error) }
      throw error
    }
  }

  async function termsFor (request: FastifyRequest): Promise<Terms> {
    return termsOf(await policyOf(sessionOf(request).person.workspaceId), Date.now())
  }

  function reading (terms: Terms): Parameters<typeof readCreateForm>[1] {
    return { terms, now: Date.now(), faultsIn: (described) => service.faultsIn(described) }
  }

  async function showForm (request: FastifyRequest, reply: FastifyReply, { form, faults, terms }: { form: CreateForm, faults: FormFaults, terms: Terms }) {
    const view = { site, viewer: viewerOf(sessionOf(request)), form, faults, terms, formId: randomUUID(), ...daysOf(terms, Date.now()) }
    return await reply.type('text/html; charset=utf-8').send(String(createKeyPage(view)))
  }
}
