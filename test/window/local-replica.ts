import { openKeys } from '../../src/engine/open-keys.ts'
import type { Teardowns } from '../support/servers.ts'
import { until } from '../support/until.ts'
import type { MadeKey, Replica } from './replicas.ts'

interface LocalReplicaOptions {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly windowMs: number
  readonly lastUsedFlushMs?: number
  readonly requireSynchronous?: boolean
}

const named = { workspaceId: 'w', actor: 'tests' } as const
const isUnavailable = (outcome: unknown) => outcome instanceof Error && 'code' in outcome && outcome.code === 'unavailable'

/**
 * The engine of a replica in the process of the test, on real stores: a start of the service takes more processor time than what most tests do with it.
 * For members of a fleet that are not frozen or killed, and whose log and metrics nobody reads. Resolves when its window is open.
 */
export async function openReplica (t: Teardowns, { windowMs, ...options }: LocalReplicaOptions): Promise<Replica> {
  const keys = await openKeys({ ...options, trustWindowMs: windowMs })
  let ended: Promise<void> | undefined
  const stop = async () => { await (ended ??= keys.close()) }
  t.teardown(stop)
  const create = async (): Promise<MadeKey> => {
    let outcome: unknown
    await until(async () => {
      outcome = await keys.service.create({ ...named, name: 'n', scope: 'mcp:read' }).catch((error: unknown) => error)
      return !isUnavailable(outcome)
    })
    if (outcome instanceof Error) throw outcome
    const { key, token } = outcome as Awaited<ReturnType<typeof keys.service.create>>
    return { id: key.id, token }
  }
  await until(() => keys.window.isOpen)
  return {
    async status (token) {
      try {
        return (await keys.verifier.verify(token, { scope: 'mcp:read' })).valid ? 200 : 401
      } catch (error) {
        if (isUnavailable(error)) return 503
        throw error
      }
    },
    create,
    createMany: async (count) => await Promise.all(Array.from({ length: count }, create)),
    revoke: async (id) => { await keys.service.revoke({ ...named, keyId: id }) },
    stop
  }
}
