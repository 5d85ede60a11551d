import type { FastifyInstance, FastifyRequest } from 'fastify'
import { KeyService } from '../core/key-service.ts'
import { rules } from '../core/key-rules.ts'
import type { Person } from '../core/person.ts'
import type { Session } from '../core/sessions.ts'
import type { Keys } from '../engine/open-keys.ts'
import { Scrubber } from '../http/scrubber.ts'
import { secretRefusal } from '../plugins/secret-refusal.ts'
import { assetRoutes } from './assets.ts'
import { contextOfKeys, keyPages } from './key-pages.ts'
import { noBrand, readPageAssets, siteOf } from './page-assets.ts'
import { pagePerson } from './page-person.ts'
import { pageScope } from './page-scope.ts'
import { pathsAt } from './views/page.ts'

/** Whom the application has signed in. */
export interface SignedInPerson {
  /** Whose keys the person sees. */
  readonly workspaceId: string
  /** Owns the keys that the person makes, and should never be given to anyone else. Null for an admin whose keys belong to the workspace. */
  readonly ownerId: string | null
  /** For people to read. The owner id. */
  readonly name?: string | undefined
  /** For the audit. `user:` and the owner id. */
  readonly actor?: string | undefined
  /** Whether the person sees and manages everyone's keys in the workspace. `false`. */
  readonly admin?: boolean | undefined
  /** What tells this session of the person from others, such as its id: forms of another session are refused. Forms are the person's, whatever the session. */
  readonly session?: string | undefined
}

export interface ConnectedAppsOptions {
  /** Who has sent the request, as the application knows it; nothing where nobody is signed in. Asked once for each request. */
  person (request: FastifyRequest): SignedInPerson | null | undefined | Promise<SignedInPerson | null | undefined>
  /** The engine of another `apiKeys`, such as `app.partnerApiKeys`. `app.apiKeys`. */
  readonly keys?: Keys | undefined
  /** The application's own page for signing in, to which people are led who are not. They are told that they are not signed in. */
  readonly signInUrl?: string | undefined
  /** Where the name at the top leads. The list of keys. */
  readonly homeUrl?: string | undefined
  /** Scheme, host and port under which browsers reach the application, such as `https://app.example.com`. Those of each request, as Fastify's `trustProxy` lets it know them. */
  readonly publicUrl?: string | undefined
  /** The MCP server that keys are for: its URL, or a path of this application. None: the page shows how any HTTP client is set up. */
  readonly mcpUrl?: string | undefined
  /** A URL, or a path of this application, that answers 200 to every key, for people who want to try one. None. */
  readonly tryUrl?: string | undefined
  /** Origins whose pages may show these in a frame. None. */
  readonly frameOrigins?: readonly string[] | undefined
  /** The name at the top and in titles, and files: a logo (.svg or .png) and a stylesheet with `--brand-*` colours. Ours. */
  readonly brand?: { readonly name?: string | undefined, readonly logoFile?: string | undefined, readonly cssFile?: string | undefined } | undefined
}

const defaultPrefix = '/settings/connected-apps'
const shapes = { id: new RegExp(rules.id.pattern, 'u'), ownerId: new RegExp(rules.ownerId.pattern, 'u') }

/**
 * Connected Apps as a part of the application: at the prefix that it is registered with, else at `/settings/connected-apps`. The application says who is
 * there; there is no sign-in, no session and no cookie of ours. Needs `apiKeys` before it.
 */
export async function connectedApps (app: FastifyInstance, { person: personOf, keys: given, ...options }: ConnectedAppsOptions): Promise<void> {
  if (typeof personOf !== 'function') throw new TypeError('`person` is needed: a function that says who has sent a request.')
  const keys = given ?? (app.hasDecorator('apiKeys') ? app.apiKeys : undefined)
  if (keys === undefined) throw new Error('Register `apiKeys` before `connectedApps`, or hand in `keys`.')
  // Two copies have two classes for one error, and may be of two versions.
  if (!(keys.service instanceof KeyService)) throw new Error('`apiKeys` comes from another copy of the package than `connectedApps`. Import both from navis-keys-service.')
  const prefix = app.prefix === '' ? defaultPrefix : ''
  const apps = app.prefix + prefix
  const { publicUrl, frameOrigins = [], mcpUrl, tryUrl, signInUrl, homeUrl } = options
  const assets = readPageAssets({ name: options.brand?.name ?? noBrand.name, logoFile: options.brand?.logoFile, cssFile: options.brand?.cssFile })
  const origin = publicUrl === undefined ? undefined : new URL(publicUrl).origin
  const { prefix: tokenPrefix, accepted } = keys.tokens
  const context = {
    ...contextOfKeys(keys),
    originOf: ({ protocol, host }: FastifyRequest) => origin ?? `${protocol}://${host}`,
    mcpServer: mcpUrl,
    tryUrl,
    frameOrigins,
    assets,
    site: siteOf({ paths: pathsAt({ apps, settings: apps }), assetsAt: apps, assets, hasSignIn: false, homeUrl })
  }

  await app.register(async function pages (scope) {
    if (!scope.hasDecorator('holdsSecret')) await scope.register(secretRefusal, { scrubber: new Scrubber({ tokenPrefix, tokenPrefixesAccepted: accepted, secrets: [] }) })
    await scope.register(pageScope, context)
    await scope.register(pagePerson, { find: sessionOf, signInUrl })
    scope.register(assetRoutes, context)
    scope.register(keyPages, context)
  }, { prefix })

  async function sessionOf (request: FastifyRequest): Promise<Session | undefined> {
    const found = await personOf(request)
    if (found == null) return undefined
    const person = soundPerson(found)
    return { person, formToken: await keys!.formTokens.of(person, found.session ?? '') }
  }
}

// What the application says is believed, but not what nobody could be called: an empty owner id would be everyone's.
function soundPerson ({ workspaceId, ownerId, name = ownerId ?? 'Admin', actor = ownerId === null ? undefined : `user:${ownerId}`, admin: claimed }: SignedInPerson): Person {
  // Only what is true makes an admin: a claim that is some text, "false" among them, does not.
  const admin = claimed === true
  if (typeof workspaceId !== 'string' || !shapes.id.test(workspaceId)) throw new TypeError(`\`workspaceId\` of a person is ${rules.id.says}.`)
  if (ownerId !== null && (typeof ownerId !== 'string' || !shapes.ownerId.test(ownerId))) throw new TypeError(`\`ownerId\` of a person is ${rules.ownerId.says}; or null for an admin.`)
  if (ownerId === null && !admin) throw new TypeError('A person without `ownerId` has to be an admin: nobody else would see any key.')
  if (typeof actor !== 'string' || actor === '') throw new TypeError('`actor` says in the audit who a person without `ownerId` is.')
  return { workspaceId, ownerId, name: String(name), actor, admin }
}

export default connectedApps
