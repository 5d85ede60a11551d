import type { FastifyRequest } from 'fastify'
import type { KeyService } from '../core/key-service.ts'
import type { OverviewStore } from '../core/overview.ts'
import type { Policies } from '../core/policies.ts'
import type { Policy } from '../core/policy.ts'
import type { UsageReports } from '../core/usage-reports.ts'
import type { Sessions } from '../core/sessions.ts'
import type { PageAssets } from './page-assets.ts'
import type { Site } from './views/page.ts'
import type { ManagementDoor } from './sign-in/management-door.ts'
import type { OpenIdProvider } from './sign-in/openid-provider.ts'

export type SignInWay =
  | { readonly way: 'provider', readonly provider: OpenIdProvider }
  | { readonly way: 'management-token', readonly door: ManagementDoor }

/** What the pages about keys stand on. */
export interface KeyPagesContext {
  readonly service: KeyService
  readonly reports: UsageReports
  /** Scheme, host and port under which the browser reaches the pages. `undefined`: it must not. */
  originOf (request: FastifyRequest): string | undefined
  /** The MCP server that keys are for: its URL, or a path of this service where it is the gateway. `undefined`: none is known. */
  readonly mcpServer: string | undefined
  /** A URL, or a path of this origin, that answers 200 to every key: for those who want to try one. `undefined`: none is known. */
  readonly tryUrl: string | undefined
  readonly overview: OverviewStore
  readonly policies: Policies
  /** What the settings alone allow, in every workspace. */
  readonly settingsPolicy: Policy
  /** What the workspace and the settings together allow. */
  policyOf (workspaceId: string): Promise<Policy>
  /** Writes down the uses that this replica knows of, so that what is read next has them. Resolves in any case, and soon. */
  settleUses (): Promise<void>
  readonly tokenPrefix: string
  /** What a revocation takes at most, for people who wait for one. */
  readonly revokeLongestMs: number
  /** Origins whose pages may show these in a frame. */
  readonly frameOrigins: readonly string[]
  readonly assets: PageAssets
  readonly site: Site
}

/** What the settings pages of the service stand on, those for signing in among them. */
export interface SettingsContext extends KeyPagesContext {
  readonly sessions: Sessions
  readonly signIn: SignInWay
}
