import { isTrustworthy } from '../core/public-origin.ts'
import type { SessionLimits } from '../core/sessions.ts'
import { partsOf } from './parts-of.ts'
import type { Settings } from './settings.ts'

/** Names of claims. A name means the claim of that name or, with dots in it, a member of nested objects. */
export interface ClaimNames {
  readonly workspace: string
  readonly owner: string
  /** Left out: there are no admins. */
  readonly admin: string | undefined
  /** The value that the admin claim must have, or must contain if it is a list. */
  readonly adminValue: string
}

export interface OpenIdSettings {
  /** The issuer identifier of the provider; its metadata is below it. `https:`, or `http:` on this machine. */
  readonly issuer: string
  readonly clientId: string
  /** Left out: a public client, protected only by PKCE. */
  readonly clientSecret?: string | undefined
  /** Separated by spaces, with `openid` among them. */
  readonly scope: string
  readonly claims: ClaimNames
}

/** The settings page: its sign-in, MCP server, frames and brand. */
export interface PagesConfig {
  readonly publicUrl: string | undefined
  readonly mcpUrl: string | undefined
  readonly signIn: { readonly way: 'provider', readonly options: OpenIdSettings } | { readonly way: 'management-token' | 'off' }
  readonly sessionLimits: SessionLimits
  /** Origins whose pages may embed ours in a frame. */
  readonly frameOrigins: readonly string[]
  readonly brand: { readonly name: string, readonly logoFile: string | undefined, readonly cssFile: string | undefined }
}

export function readPagesConfig (values: Settings): { pages: PagesConfig, faults: readonly string[] } {
  return {
    faults: faults.filter(({ when }) => when(values)).map(({ say }) => say),
    pages: {
      publicUrl: values.PUBLIC_URL,
      mcpUrl: values.MCP_URL,
      signIn: signInOf(values),
      frameOrigins: partsOf(values.PAGES_FRAME_ORIGINS),
      brand: { name: values.BRAND_NAME, logoFile: values.BRAND_LOGO_FILE, cssFile: values.BRAND_CSS_FILE },
      sessionLimits: { idleMs: values.SESSION_IDLE_MS, lifetimeMs: values.SESSION_LIFETIME_MS }
    }
  }
}

/** The parts that must never appear in a log. */
export function pageSecrets ({ signIn }: PagesConfig): string[] {
  return signIn.way === 'provider' && signIn.options.clientSecret !== undefined ? [signIn.options.clientSecret] : []
}

function signInOf (values: Settings): PagesConfig['signIn'] {
  const { OIDC_ISSUER: issuer, OIDC_CLIENT_ID: clientId } = values
  if (issuer !== undefined && clientId !== undefined) return { way: 'provider', options: optionsOf(values, issuer, clientId) }
  // Only with the embedded database: on any other, the management token would open the workspaces of everybody to a browser.
  return { way: isEmbedded(values) ? 'management-token' : 'off' }
}

function isEmbedded ({ DATABASE_URL: url, DATABASE_HOST: host }: Settings): boolean {
  return url === undefined && host === undefined
}

function optionsOf (values: Settings, issuer: string, clientId: string): OpenIdSettings {
  return {
    issuer,
    clientId,
    clientSecret: values.OIDC_CLIENT_SECRET,
    scope: values.OIDC_SCOPE,
    claims: { workspace: values.OIDC_WORKSPACE_CLAIM, owner: values.OIDC_OWNER_CLAIM, admin: values.OIDC_ADMIN_CLAIM, adminValue: values.OIDC_ADMIN_VALUE }
  }
}

// The text is written into a Content-Security-Policy: anything but a canonical origin could end the directive.
function isOrigin (text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text && isTrustworthy(text)
}

const faults: ReadonlyArray<{ when (values: Settings): boolean, say: string }> = [
  {
    when: ({ PUBLIC_URL: url }) => url !== undefined && !(URL.canParse(url) && isTrustworthy(url)),
    say: 'PUBLIC_URL must be an origin such as https://keys.example.com: https:, or http: on this machine, and no path.'
  },
  {
    when: ({ PAGES_FRAME_ORIGINS: origins }) => !partsOf(origins).every(isOrigin),
    say: 'PAGES_FRAME_ORIGINS must be origins such as https://app.example.com: https:, or http: on this machine, and no path.'
  },
  {
    when: ({ MCP_URL: url }) => url !== undefined && !URL.canParse(url),
    say: 'MCP_URL must be the http: or https: URL of an MCP server.'
  },
  {
    when: ({ OIDC_ISSUER: url }) => url !== undefined && !(URL.canParse(url) && isTrustworthy(url)),
    say: 'OIDC_ISSUER must be the issuer URL of an OpenID provider: https:, or http: on this machine.'
  },
  {
    when: ({ OIDC_ISSUER: issuer, OIDC_CLIENT_ID: clientId }) => issuer !== undefined && clientId === undefined,
    say: 'OIDC_CLIENT_ID is needed with OIDC_ISSUER: set it to the id that the provider gave to this service.'
  },
  {
    when: ({ OIDC_ISSUER: issuer, PUBLIC_URL: url }) => issuer !== undefined && url === undefined,
    say: 'PUBLIC_URL is needed with OIDC_ISSUER: set it to the origin under which browsers reach this service.'
  },
  {
    when: ({ OIDC_ISSUER: issuer, OIDC_CLIENT_ID: clientId, OIDC_CLIENT_SECRET: secret }) => issuer === undefined && (clientId !== undefined || secret !== undefined),
    say: 'OIDC_ISSUER is needed with OIDC_CLIENT_ID and OIDC_CLIENT_SECRET: set it, or unset those.'
  }
]
