import type { FastifyInstance } from 'fastify'
import type { ManagedKey } from '../core/key-record.ts'
import { mayManage, type Person } from '../core/person.ts'
import { keyListPage } from './views/key-list.ts'
import { routes } from './views/page.ts'
import type { KeyPagesContext } from './context.ts'
import { filterOf, orderOf, readListQuery } from './list-query.ts'
import { unusedDaysOf } from './unused-days.ts'
import { sessionOf, viewerOf } from './viewer.ts'

const keysPerPage = 20

export async function keyListRoutes (app: FastifyInstance, { service, site, tokenPrefix, policyOf, settleUses }: KeyPagesContext): Promise<void> {
  app.addHook('onRequest', app.requirePerson)

  app.get<{ Querystring: Readonly<Record<string, unknown>> }>(routes.list, async function showKeys (request, reply) {
    const session = sessionOf(request)
    const { person } = session
    const query = readListQuery(request.query, person)
    const [policy] = await Promise.all([policyOf(person.workspaceId), settleUses()])
    const unusedDays = unusedDaysOf(policy)
    const filter = filterOf(person, query, unusedDays)
    const [list, count, revoked] = await Promise.all([
      service.list({ ...filter, order: orderOf(query), limit: keysPerPage, cursor: query.cursor, before: query.before }),
      service.count(filter),
      justRevoked(person, request.query['revoked'])
    ])
    const none = list.keys.length === 0 && list.nextCursor === null && query.q === '' && query.owner === '' && await hasNone(person)
    return await reply.type('text/html; charset=utf-8').send(String(keyListPage({
      site, viewer: viewerOf(session), now: Date.now(), query, ...list, count, tokenPrefix, unusedDays, none, ...(revoked && { revoked })
    })))
  })

  async function hasNone (person: Person): Promise<boolean> {
    const everything = { kind: 'all', q: '', owner: '' } as const
    const { keys } = await service.list({ ...filterOf(person, { ...everything, sort: 'newest', cursor: undefined, before: undefined }, 1), limit: 1 })
    return keys.length === 0
  }

  async function justRevoked (person: Person, keyId: unknown): Promise<ManagedKey | undefined> {
    if (typeof keyId !== 'string') return undefined
    const key = await service.get({ workspaceId: person.workspaceId, keyId }).catch(() => undefined)
    return key !== undefined && key.status === 'revoked' && mayManage(person, key) ? key : undefined
  }
}
