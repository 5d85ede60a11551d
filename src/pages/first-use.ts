import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ManagedKey } from '../core/key-record.ts'
import type { KeyPagesContext } from './context.ts'
import { ownKeyOf } from './own-key.ts'
import { useText, type TokenUse } from './views/first-use.ts'
import { routes } from './views/page.ts'
import { dayMs } from './views/times.ts'

/** Tells the pages that wait for it whether the newest token of a key was used. */
export async function firstUseRoutes (app: FastifyInstance, { service, reports, settleUses }: KeyPagesContext): Promise<void> {
  app.addHook('onRequest', app.requirePerson)

  app.get<{ Params: { keyId: string } }>(routes.use(':keyId'), async function tellUse (request: FastifyRequest<{ Params: { keyId: string } }>) {
    await settleUses()
    const use = await useOfNewest({ reports }, await ownKeyOf(request, service))
    return { says: use === undefined ? null : useText(use, Date.now()) }
  })
}

/** `undefined`: no use is known yet. */
export async function useOfNewest ({ reports }: Pick<KeyPagesContext, 'reports'>, key: ManagedKey): Promise<TokenUse | undefined> {
  if (!isNewestUsed(key)) return undefined
  const { last } = await reports.usage({ workspaceId: key.workspaceId, keyId: key.id })
  return last ?? undefined
}

/** Whether a use of the key can be attributed to its newest token. It cannot while the previous token works as well. */
export function isUseTold ({ previousToken }: ManagedKey, starts: 'now' | 'first_use'): boolean {
  return previousToken === null || starts === 'first_use'
}

/** Whether the page of a key waits for the first use of its newest token: that token is new, or the grace of the previous one begins with this use. */
export function awaitsFirstUse (key: ManagedKey, now: number): boolean {
  if (key.status !== 'active' || isNewestUsed(key)) return false
  return now - (key.rotatedAt ?? key.createdAt) < dayMs || (key.previousToken !== null && key.previousToken.graceSeconds !== null)
}

function isNewestUsed ({ lastUsedAt, rotatedAt, previousToken }: ManagedKey): boolean {
  if (lastUsedAt === null) return false
  if (rotatedAt === null) return true
  if (previousToken === null) return lastUsedAt > rotatedAt
  // The previous token may still be in use.
  return previousToken.graceSeconds === null
}
