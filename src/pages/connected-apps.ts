import type { FastifyInstance, FastifyRequest } from 'fastify'
import { KeyService } from '../core/key-service.ts'
import { rules } from '../core/key-rules.ts'
import { assertMembers, made, partOf, text, texts, url, type Rule } from '../core/option-rules.ts'
import type { Person } from '../core/person.ts'
import type { Session } from '../core/sessions.ts'
import type { Keys } from '../engine/open-keys.ts'
import { withoutThoseOfRegister } from '../http/register-options.ts'
import { requestOrigin } from '../http/request-origin.ts'
import { Scrubber } from '../http/scrubber.ts'
import { secretsInRequests } from '../http/secrets-in-requests.ts'
import { assetRoutes } from './assets.ts'
import { contextOfKeys, keyPages } from './key-pages.ts'
import { noBrand, readPageAssets, siteOf } from './page-assets.ts'
import { pagePerson } from './page-person.ts'
import { pageScope } from './page-scope.ts'
import { pathsAt } from './views/page.ts'

/** The person that the application has signed in. */
export interface SignedInPerson {
  /** The workspace whose keys the person sees. */
  readonly workspaceId: string
  /** The owner of the keys that the person creates. Never give it to another person. Null: an admin whose keys have no owner. */
  readonly ownerId: string | null
  /** Shown on the pages. Default: the owner id. */
  readonly name?: string | undefined
  /** Who made a change, in the audit trail. Default: `user:` and the owner id. */
  readonly actor?: string | undefined
  /** Whether the person sees and manages all keys of the workspace. Default: `false`. */
  readonly admin?: boolean | undefined
  /** The id of the person's session: forms of another session are then refused. Default: forms of all sessions of the person are accepted. */
  readonly session?: string | undefined
}

export interface ConnectedAppsOptions {
  /** The person who sent the request; null or undefined: no one is signed in. Called once for each request. */
  person (request: FastifyRequest): SignedInPerson | null | undefined | Promise<SignedInPerson | null | undefined>
  /** The engine of another `apiKeys`, such as `app.partnerApiKeys`. Default: `app.apiKeys`. */
  readonly keys?: Keys | undefined
  /** The application's sign-in page, to which people who are not signed in are redirected. Default: none, and a 401 page. */
  readonly signInUrl?: string | undefined
  /** The link of the name at the top. Default: the list of keys. */
  readonly homeUrl?: string | undefined
  /** The origin of the application, such as `https://app.example.com`. Default: the origin of each request, as Fastify knows it (`trustProxy`). */
  readonly publicUrl?: string | undefined
  /** The MCP server that keys are for: its URL, or a path of this application. Default: none, and the page shows only how to set up an HTTP client. */
  readonly mcpUrl?: string | undefined
  /** A URL, or a path of this application, that answers 200 to every valid key, to try a key with. Default: none. */
  readonly tryUrl?: string | undefined
  /** Origins whose pages may embed these in a frame. Default: none. */
  readonly frameOrigins?: readonly string[] | undefined
  /** The name at the top and in titles, a logo file (.svg or .png) and a stylesheet with `--brand-*` colours. Default: those of Navis Keys. */
  readonly brand?: { readonly name?: string | undefined, readonly logoFile?: string | undefined, readonly cssFile?: string | undefined } | undefined
}

const optionRules: { readonly [Name in keyof ConnectedAppsOptions]-?: Rule } = {
  person: { says: 'a function that says who has sent a request', isMet: (value) => typeof value === 'function' },
  keys: made,
  signInUrl: text,
  homeUrl: text,
  publicUrl: url,
  mcpUrl: text,
  tryUrl: text,
  frameOrigins: texts,
  brand: partOf<NonNullable<ConnectedAppsOptions['brand']>>({ name: text, logoFile: text, cssFile: text })
}

const defaultPrefix = '/settings/connected-apps'
const shapes = { id: new RegExp(rules.id.pattern, 'u'), ownerId: new RegExp(rules.ownerId.pattern, 'u') }

/**
 * Connected Apps as a part of the application, at the prefix that it is registered with, or else at `/settings/connected-apps`. The application says who is
 * signed in; there is no sign-in, session or cookie of ours. Register `apiKeys` first. Throws if it is missing or comes from another copy of the package.
 */
export async function connectedApps (app: FastifyInstance, all: ConnectedAppsOptions): Promise<void> {
  const { person: personOf, keys: given, ...options } = all
  if (!optionRules.person.isMet(personOf)) throw new TypeError(`\`person\` is needed: ${optionRules.person.says}.`)
  assertMembers({ ...withoutThoseOfRegister(all) }, optionRules, { owner: 'connectedApps' })
  const keys = given ?? (app.hasDecorator('apiKeys') ? app.apiKeys : undefined)
  if (keys === undefined) throw new Error('Register `apiKeys` before `connectedApps`, or hand in `keys`.')
  // Two copies have different error classes, and may have different versions.
  if (!(keys.service instanceof KeyService)) throw new Error('`apiKeys` comes from another copy of the package than `connectedApps`. Import both from navis-keys-service.')
  const prefix = app.prefix === '' ? defaultPrefix : ''
  const apps = app.prefix + prefix
  const { publicUrl, frameOrigins = [], mcpUrl, tryUrl, signInUrl, homeUrl } = options
  const assets = readPageAssets({ name: options.brand?.name ?? noBrand.name, logoFile: options.brand?.logoFile, cssFile: options.brand?.cssFile })
  const origin = publicUrl === undefined ? undefined : new URL(publicUrl).origin
  const { prefix: tokenPrefix, accepted } = keys.tokens
  const context = {
    ...contextOfKeys(keys),
    originOf: (request: FastifyRequest) => origin ?? requestOrigin(request),
    mcpServer: mcpUrl,
    tryUrl,
    frameOrigins,
    secrets: secretsInRequests(new Scrubber({ tokenPrefix, tokenPrefixesAccepted: accepted, secrets: [] })),
    assets,
    site: siteOf({ paths: pathsAt({ apps, settings: apps }), assetsAt: apps, assets, hasSignIn: false, homeUrl })
  }

  await app.register(async function pages (scope) {
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

// Check the ids: with an empty owner id the list would have the keys of all owners.
function soundPerson ({ workspaceId, ownerId, name = ownerId ?? 'Admin', actor = ownerId === null ? undefined : `user:${ownerId}`, admin: claimed }: SignedInPerson): Person {
  // Only `true` itself: the text "false" must not make an admin.
  const admin = claimed === true
  if (typeof workspaceId !== 'string' || !shapes.id.test(workspaceId)) throw new TypeError(`\`workspaceId\` of a person is ${rules.id.says}.`)
  if (ownerId !== null && (typeof ownerId !== 'string' || !shapes.ownerId.test(ownerId))) throw new TypeError(`\`ownerId\` of a person is ${rules.ownerId.says}; or null for an admin.`)
  if (ownerId === null && !admin) throw new TypeError('A person without `ownerId` must be an admin: other people without an owner id would see no keys.')
  if (typeof actor !== 'string' || actor === '') throw new TypeError('`actor` says in the audit who a person without `ownerId` is.')
  return { workspaceId, ownerId, name: String(name), actor, admin }
}

export default connectedApps
