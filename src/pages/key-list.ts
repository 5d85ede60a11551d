import type { FastifyInstance } from 'fastify'
import type { ManagedKey } from '../core/key-record.ts'
import { mayManage, type Person } from '../core/person.ts'
import { keyListPage } from './views/key-list.ts'
import { paths } from './views/page.ts'
import type { SettingsContext } from './context.ts'
import { sessionOf, viewerOf } from './viewer.ts'

const keysPerPage = 20

interface Query {
  show?: unknown
  cursor?: unknown
  revoked?: unknown
}

export async function keyListRoutes (app: FastifyInstance, { service, assets, tokenPrefix }: SettingsContext): Promise<void> {
  app.addHook('onRequest', app.requirePerson)

  app.get<{ Querystring: Query }>(paths.list, async function showKeys (request, reply) {
    const session = sessionOf(request)
    const { person } = session
    const shows = request.query.show === 'all' ? 'all' : 'active'
    const cursor = textOf(request.query.cursor)
    const [{ keys, nextCursor }, revoked] = await Promise.all([
      service.list({ ...whose(person), status: shows, limit: keysPerPage, cursor }),
      justRevoked(person, textOf(request.query.revoked))
    ])
    const none = keys.length === 0 && cursor === undefined && (shows === 'all' || await hasNone(person))
    return await reply.type('text/html; charset=utf-8').send(String(keyListPage({
      assets: assets.urls, viewer: viewerOf(session), now: Date.now(), keys, nextCursor, tokenPrefix, shows, none, firstPage: cursor === undefined, ...(revoked && { revoked })
    })))
  })

  async function hasNone (person: Person): Promise<boolean> {
    const { keys } = await service.list({ ...whose(person), status: 'all', limit: 1 })
    return keys.length === 0
  }

  async function justRevoked (person: Person, keyId: string | undefined): Promise<ManagedKey | undefined> {
    if (keyId === undefined) return undefined
    const key = await service.get({ workspaceId: person.workspaceId, keyId }).catch(() => undefined)
    return key !== undefined && key.status === 'revoked' && mayManage(person, key) ? key : undefined
  }
}

function whose ({ workspaceId, ownerId, admin }: Person): { workspaceId: string, ownerId?: string } {
  if (admin) return { workspaceId }
  // An empty owner id is nobody's: without one, a list of everyone's keys would be shown.
  return { workspaceId, ownerId: ownerId ?? '' }
}

function textOf (value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
