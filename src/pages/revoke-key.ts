import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ManagedKey } from '../core/key-record.ts'
import { logOf } from '../http/logging.ts'
import { routes } from './views/page.ts'
import { revokeDone, revokePage, revokeUnknown, revokeWaiting } from './views/revoke-key.ts'
import type { KeyPagesContext } from './context.ts'
import { ownKeyOf } from './own-key.ts'
import { sessionOf, viewerOf } from './viewer.ts'

/** If the revocation is not in force after this time, a page is shown that waits for it. */
const patienceMs = 700
const silenceMs = 10_000

type Outcome = 'in force' | 'unknown'

export async function revokeKeyRoutes (app: FastifyInstance, { service, reports, site, tokenPrefix, revokeLongestMs, settleUses }: KeyPagesContext): Promise<void> {
  app.addHook('onRequest', app.requirePerson)

  app.get<{ Params: { keyId: string } }>(routes.revoke(':keyId'), async function askToRevoke (request, reply) {
    await settleUses()
    const key = await ownKeyOf(request, service)
    if (key.status === 'revoked') return await reply.redirect(doneAt(key), 303)
    const { last } = await reports.usage({ workspaceId: key.workspaceId, keyId: key.id })
    const view = { last, site, viewer: viewerOf(sessionOf(request)), key, tokenPrefix, now: Date.now() }
    return await reply.type('text/html; charset=utf-8').send(String(revokePage(view)))
  })

  app.post<{ Params: { keyId: string } }>(routes.revoke(':keyId'), { preHandler: app.requireFormToken }, async function revokeKey (request, reply) {
    const key = await ownKeyOf(request, service)
    const { workspaceId, actor } = sessionOf(request).person
    const revocation = service.revoke({ workspaceId, keyId: key.id, actor, reason: 'Revoked in settings' })
    const first = await Promise.race([revocation.then(() => 'in force' as const), sleep(patienceMs, 'waiting' as const)])
    if (first === 'in force') return await reply.redirect(doneAt(key), 303)
    const outcome = revocation.then(() => 'in force' as const, (error: unknown) => {
      logOf(request).warn({ err: error }, 'revocation from the settings page failed')
      return 'unknown' as const
    })
    return await reply.type('text/html; charset=utf-8').header('x-accel-buffering', 'no').send(Readable.from(telling(request, key, outcome)))
  })

  // A streamed page shows the wait without scripts.
  async function * telling (request: FastifyRequest, key: ManagedKey, outcome: Promise<Outcome>): AsyncGenerator<string> {
    const waitsFor = await isWritten(key) ? 'servers' : 'store'
    yield String(revokeWaiting({ site, viewer: viewerOf(sessionOf(request)), key, waitsFor, longestMs: revokeLongestMs }))
    let ended: Outcome | 'waiting' = 'waiting'
    while (ended === 'waiting') {
      ended = await Promise.race([outcome, sleep(silenceMs, 'waiting' as const)])
      // Proxies close connections on which nothing is sent for long.
      if (ended === 'waiting') yield '\n'
    }
    yield String(ended === 'in force' ? revokeDone(site, key) : revokeUnknown(site, key))
  }

  function doneAt (key: ManagedKey): string {
    return `${site.paths.list}?revoked=${key.id}`
  }

  async function isWritten ({ workspaceId, id }: ManagedKey): Promise<boolean> {
    const asked = service.get({ workspaceId, keyId: id }).then(({ status }) => status === 'revoked', () => false)
    return await Promise.race([asked, sleep(patienceMs, false)])
  }
}
