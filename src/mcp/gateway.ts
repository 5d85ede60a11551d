import type { GatewaySettings } from '../config/gateway-config.ts'
import type { Clock } from '../core/clock.ts'
import type { KeyRecord } from '../core/key-record.ts'
import type { Logger } from '../core/logger.ts'
import { silentPolicy } from './protocol/policy.ts'
import { IdSeal } from './protocol/id-seal.ts'
import { unavailable } from '../core/errors.ts'
import type { Scope } from '../core/scopes.ts'
import type { Tracing } from '../core/tracing.ts'
import type { Keys } from '../engine/open-keys.ts'
import type { PresentedToken } from '../http/bearer.ts'
import { LRUCache } from 'lru-cache'
import { Bodies } from './bodies.ts'
import type { CallReport, GatewayCall } from './call-report.ts'
import { OpenCalls } from './open-calls.ts'
import { Origins } from './origins.ts'
import { PolicyFile } from './policy-file.ts'
import type { ClientInfo } from './protocol/message.ts'
import { Upstream } from './upstream.ts'
import { UpstreamClient } from './upstream-client.ts'
import { CallerTokens } from './upstream-credential.ts'

export interface GatewayOptions extends GatewaySettings {
  /** Called for each message when its request has ended. */
  readonly observe?: ((report: CallReport) => void) | undefined
  /** Called for each message of an authenticated key when its request has ended. */
  readonly onCall?: ((call: GatewayCall) => void) | undefined
  /** How often to look whether the policy has changed, in milliseconds. 2000. */
  readonly lookEveryMs?: number | undefined
}

interface GatewayParts {
  readonly keys: Pick<Keys, 'verifier' | 'window' | 'tokens'>
  readonly presented: PresentedToken
  readonly clock: Clock
  readonly log: Logger
  readonly tracing?: Tracing | undefined
}

// Sessions whose client name and version are remembered.
const sessionsMax = 10_000

/** What all calls through the gateway share: settings, upstreams, budgets and open calls. */
export class Gateway {
  readonly keys: GatewayParts['keys']
  readonly presented: PresentedToken
  readonly clock: Clock
  readonly upstreams: readonly Upstream[]
  readonly openCalls = new OpenCalls()
  readonly client: UpstreamClient
  readonly bodies: Bodies
  readonly callerTokens: CallerTokens | undefined
  readonly answerTimeoutMs: number
  readonly origins: Origins
  readonly #observers: Array<(report: CallReport) => void> = []
  readonly onCall: (call: GatewayCall) => void
  readonly #policyFile: PolicyFile | undefined
  readonly #stopListening: () => void
  readonly #tracing: Tracing | undefined
  readonly #clientsOfSessions = new LRUCache<string, ClientInfo>({ max: sessionsMax })
  #seals: { readonly session: IdSeal, readonly event: IdSeal } | undefined

  private constructor (options: GatewayOptions, parts: GatewayParts, callerTokens: CallerTokens | undefined) {
    const { policyFile, lookEveryMs } = options
    const names = options.upstreams.map(({ name }) => name)
    this.keys = parts.keys
    this.presented = parts.presented
    this.clock = parts.clock
    this.#tracing = parts.tracing
    this.answerTimeoutMs = options.answerTimeoutMs ?? 120_000
    this.bodies = new Bodies({ bytesMax: options.bodyBytesMax ?? 1024 * 1024, clock: parts.clock })
    this.origins = new Origins(options.allowedOrigins)
    if (options.observe !== undefined) this.onReport(options.observe)
    this.onCall = options.onCall ?? (() => {})
    this.callerTokens = callerTokens
    this.client = new UpstreamClient({ answerTimeoutMs: this.answerTimeoutMs })
    this.#policyFile = policyFile === undefined ? undefined : new PolicyFile({ path: policyFile, upstreams: names, log: parts.log, lookEveryMs })
    this.upstreams = options.upstreams.map((upstream) => new Upstream(upstream, {
      policy: () => this.#policyFile?.of(upstream.name) ?? silentPolicy, callerTokens, clock: parts.clock, log: parts.log
    }))
    this.#stopListening = parts.keys.window.onDrop((drop) => { this.openCalls.drop(drop) })
  }

  /** Runs a request to an upstream, with the headers that continue the caller's trace, in a span if tracing is on. */
  async traced<T> (upstream: string, ask: (headers: Readonly<Record<string, string>>) => Promise<T>): Promise<T> {
    const tracing = this.#tracing
    if (tracing === undefined) return await ask({})
    return await tracing.span(`mcp ${upstream}`, { 'navis_keys.upstream': upstream }, async () => await ask(tracing.headers()))
  }

  static async open (options: GatewayOptions, parts: GatewayParts): Promise<Gateway> {
    const callerTokens = options.signingKeys === undefined ? undefined : await CallerTokens.open(options.signingKeys)
    return new Gateway(options, parts, callerTokens)
  }

  /** Binds sessions to the key that opened them. */
  get sessionSeal (): IdSeal {
    return this.#sealsOfDatabase().session
  }

  /** Binds event ids to the key that they were sent to. */
  get eventSeal (): IdSeal {
    return this.#sealsOfDatabase().event
  }

  /** Calls `observer` for each message when its request has ended. */
  onReport (observer: (report: CallReport) => void): void {
    this.#observers.push(observer)
  }

  observe (report: CallReport): void {
    for (const observer of this.#observers) observer(report)
  }

  rememberClient (session: string, client: ClientInfo): void {
    this.#clientsOfSessions.set(session, client)
  }

  /** The `clientInfo` that opened a session, if it was opened at this replica. */
  clientOfSession (session: string | string[] | undefined): ClientInfo | undefined {
    return typeof session === 'string' ? this.#clientsOfSessions.get(session) : undefined
  }

  /** How long until `key` expires by the database's clock, in milliseconds; `undefined`: never. */
  expiresInMs (key: KeyRecord): number | undefined {
    return key.expiresAt === null ? undefined : key.expiresAt - this.keys.window.databaseTime(this.clock.monotonicMs())
  }

  async scopeOfTool (upstreamName: string, tool: string): Promise<Scope> {
    const upstream = this.upstreams.find(({ name }) => name === upstreamName)
    await upstream?.settled([tool])
    return upstream?.scopeOfTool(tool) ?? 'mcp:write'
  }

  async close (): Promise<void> {
    this.#stopListening()
    this.#policyFile?.close()
    this.openCalls.retireAll()
    this.client.close()
  }

  // Derived from a secret in the database, so that every replica accepts a session that any replica opened.
  #sealsOfDatabase () {
    if (this.#seals === undefined) {
      const { rowSecret } = this.keys.window
      if (rowSecret === undefined) throw unavailable('The service has not reached its database yet. Try again.')
      this.#seals = { session: IdSeal.derived(rowSecret, 'session'), event: IdSeal.derived(rowSecret, 'event') }
    }
    return this.#seals
  }
}
