import type { FastifyRequest } from 'fastify'
import type { KeyService } from '../core/key-service.ts'
import type { OverviewStore } from '../core/overview.ts'
import type { Policies } from '../core/policies.ts'
import type { Policy } from '../core/policy.ts'
import type { SecretsInRequests } from '../http/secrets-in-requests.ts'
import type { UsageReports } from '../core/usage-reports.ts'
import type { Sessions } from '../core/sessions.ts'
import type { PageAssets } from './page-assets.ts'
import type { Site } from './views/page.ts'
import type { ManagementDoor } from './sign-in/management-door.ts'
import type { OpenIdProvider } from './sign-in/openid-provider.ts'

export type SignInWay =
  | { readonly way: 'provider', readonly provider: OpenIdProvider }
  | { readonly way: 'management-token', readonly door: ManagementDoor }

/** What the pages about keys need. */
export interface KeyPagesContext {
  readonly service: KeyService
  readonly reports: UsageReports
  /** The origin (scheme, host and port) of the pages for this request. `undefined`: the request is refused. */
  originOf (request: FastifyRequest): string | undefined
  /** The MCP server that keys are for: its URL, or the path of the gateway of this service. `undefined`: not known. */
  readonly mcpServer: string | undefined
  /** A URL, or a path of this origin, that answers 200 to every valid key, to try a key with. `undefined`: none. */
  readonly tryUrl: string | undefined
  readonly overview: OverviewStore
  readonly policies: Policies
  /** The policy of the settings, for every workspace. */
  readonly settingsPolicy: Policy
  /** The policy of the workspace and the settings together. */
  policyOf (workspaceId: string): Promise<Policy>
  /** Writes the uses that this replica has counted, so that the next read contains them. Always resolves, after 500 ms at most. */
  settleUses (): Promise<void>
  readonly tokenPrefix: string
  /** Keeps tokens and secrets out of URLs, pages and the database. */
  readonly secrets: SecretsInRequests
  /** The longest time that a revocation takes, in milliseconds. */
  readonly revokeLongestMs: number
  /** Origins whose pages may embed these in a frame. */
  readonly frameOrigins: readonly string[]
  readonly assets: PageAssets
  readonly site: Site
}

/** What the settings pages of the service need, including sign-in. */
export interface SettingsContext extends KeyPagesContext {
  readonly sessions: Sessions
  readonly signIn: SignInWay
}
