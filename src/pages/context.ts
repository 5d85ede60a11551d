import type { KeyService } from '../core/key-service.ts'
import type { OverviewStore } from '../core/overview.ts'
import type { Policies } from '../core/policies.ts'
import type { Policy } from '../core/policy.ts'
import type { PublicOrigin } from '../core/public-origin.ts'
import type { UsageReports } from '../core/usage-reports.ts'
import type { Sessions } from '../core/sessions.ts'
import type { PageAssets } from './page-assets.ts'
import type { Site } from './views/page.ts'
import type { ManagementDoor } from './sign-in/management-door.ts'
import type { OpenIdProvider } from './sign-in/openid-provider.ts'

export type SignInWay =
  | { readonly way: 'provider', readonly provider: OpenIdProvider }
  | { readonly way: 'management-token', readonly door: ManagementDoor }

/** What the settings pages stand on. */
export interface SettingsContext {
  readonly service: KeyService
  readonly reports: UsageReports
  readonly sessions: Sessions
  readonly signIn: SignInWay
  readonly origin: PublicOrigin
  /** The MCP server that keys are for: its URL, or a path of this service where it is the gateway. `undefined`: none is known. */
  readonly mcpServer: string | undefined
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
