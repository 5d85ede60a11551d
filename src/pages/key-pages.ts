import type { FastifyInstance } from 'fastify'
import { effectivePolicy } from '../core/policy.ts'
import { waitOutMs } from '../core/window/durations.ts'
import type { Keys } from '../engine/open-keys.ts'
import { adminRoutes } from './admin.ts'
import type { KeyPagesContext } from './context.ts'
import { createKeyRoutes } from './create-key.ts'
import { firstUseRoutes } from './first-use.ts'
import { keyListRoutes } from './key-list.ts'
import { keyPageRoutes } from './key-page.ts'
import { revokeKeyRoutes } from './revoke-key.ts'
import { rotateKeyRoutes } from './rotate-key.ts'
import { settleUses } from './settle-uses.ts'

/** The pages about keys. The scope in which they are registered must provide the prefix, the person, headers and error pages. */
export async function keyPages (app: FastifyInstance, context: KeyPagesContext): Promise<void> {
  app.register(keyListRoutes, context)
  app.register(createKeyRoutes, context)
  app.register(adminRoutes, context)
  app.register(keyPageRoutes, context)
  app.register(firstUseRoutes, context)
  app.register(rotateKeyRoutes, context)
  app.register(revokeKeyRoutes, context)
}

/** The parts of the engine that the pages use. */
export function contextOfKeys ({ service, reports, overview, policies, policy, usage, tokens, trustWindowMs }: Keys) {
  return {
    service,
    reports,
    overview,
    policies,
    settingsPolicy: policy,
    policyOf: async (workspaceId: string) => effectivePolicy(policy, await policies.get(workspaceId)),
    settleUses: settleUses(usage),
    tokenPrefix: tokens.prefix,
    revokeLongestMs: waitOutMs(trustWindowMs)
  }
}
