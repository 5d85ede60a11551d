import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ManagedKey } from '../core/key-record.ts'
import type { KeyPagesContext } from './context.ts'
import { formIdOf } from './create-form.ts'
import { isUseTold } from './first-use.ts'
import { isAgain } from './form-again.ts'
import { ownKeyOf } from './own-key.ts'
import { setUpOf } from './set-up.ts'
import { sessionOf, viewerOf } from './viewer.ts'
import { routes } from './views/page.ts'
import { graceChoices, keyRotatedPage, rotatePage } from './views/rotate-key.ts'

/** Rotates a key: a new token, and a grace period for the previous one. */
export async function rotateKeyRoutes (app: FastifyInstance, { service, reports, site, tokenPrefix, mcpServer, tryUrl, policyOf, settleUses }: KeyPagesContext): Promise<void> {
  app.addHook('onRequest', app.requirePerson)

  app.get<{ Params: { keyId: string }, Querystring: Record<string, unknown> }>(routes.rotate(':keyId'), async function askHowToRotate (request, reply) {
    await settleUses()
    const key = await ownKeyOf(request, service)
    // Only an active key can be rotated; its page says what became of it.
    if (key.status !== 'active') return await reply.redirect(site.paths.key(key.id), 303)
    return isAgain(request.query) ? await show(request, reply.code(422), key, 'Choose how long the current token still works, and from when.') : await show(request, reply, key)
  })

  // Answer directly, as when a key is created: only this answer contains the token.
  app.post<{ Params: { keyId: string }, Body: Record<string, unknown> }>(routes.rotate(':keyId'), { preHandler: app.requireFormToken }, async function rotateKey (request, reply) {
    const before = await ownKeyOf(request, service)
    const grace = graceChoices.find(({ value }) => value === request.body['grace'])
    const starts = startOf(request.body['starts'])
    if (grace === undefined || starts === undefined) return await reply.redirect(`${site.paths.rotate(before.id)}?again=yes`, 303)
    const { workspaceId, actor } = sessionOf(request).person
    const { key, token } = await service.rotate({
      workspaceId, keyId: before.id, actor, graceSeconds: grace.seconds, graceStarts: starts, idempotencyKey: `form ${formIdOf(request.body)}`
    })
    const view = { site, viewer: viewerOf(sessionOf(request)), key, hintBefore: before.hint, isUseTold: isUseTold(key, starts), tokenPrefix, now: Date.now(), ...setUpOf(request, { token, mcpServer, tryUrl }) }
    return await reply.type('text/html; charset=utf-8').send(String(keyRotatedPage(view)))
  })

  async function show (request: FastifyRequest, reply: FastifyReply, key: ManagedKey, fault?: string) {
    const { id: keyId, workspaceId } = key
    const [{ last }, { maxLifetimeDays }] = await Promise.all([reports.usage({ workspaceId, keyId }), policyOf(workspaceId)])
    const view = { site, viewer: viewerOf(sessionOf(request)), key, last, maxDays: maxLifetimeDays, tokenPrefix, now: Date.now(), formId: randomUUID(), ...(fault !== undefined && { fault }) }
    return await reply.type('text/html; charset=utf-8').send(String(rotatePage(view)))
  }
}

function startOf (value: unknown): 'now' | 'first_use' | undefined {
  return value === 'now' || value === 'first_use' ? value : undefined
}
