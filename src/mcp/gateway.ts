import type { Clock } from '../core/clock.ts'
import type { KeyRecord } from '../core/key-record.ts'
import type { Logger } from '../core/logger.ts'
import { silentPolicy } from './protocol/policy.ts'
import { IdSeal } from './protocol/id-seal.ts'
import { unavailable } from '../core/errors.ts'
import type { Scope } from '../core/scopes.ts'
import type { Keys } from '../engine/open-keys.ts'
import type { CallReport } from './call-report.ts'
import { OpenCalls } from './open-calls.ts'
import { PolicyFile } from './policy-file.ts'
import { Upstream, type UpstreamOptions } from './upstream.ts'
import { UpstreamAgent } from './upstream-agent.ts'
import { CallerTokens } from './upstream-credential.ts'

export interface GatewayOptions {
  readonly upstreams: readonly UpstreamOptions[]
  /** Which tools read: see `core/mcp/policy.ts`. None: every tool writes. */
  readonly policyFile?: string | undefined
  /** P-256 private keys in PEM, the first to sign with. None: upstreams without a token of their own get no credential. */
  readonly signingKeys?: string | undefined
  /** Origins of web pages that may call. None: no page may. */
  readonly allowedOrigins?: readonly string[] | undefined
  /** How long an upstream may take to begin an answer, or be silent in the middle of one, in milliseconds. 120,000. */
  readonly answerTimeoutMs?: number | undefined
  /** The largest message or batch that is read, in bytes. 4 MiB. */
  readonly bodyBytesMax?: number | undefined
  /** Told of each message when its request is over. */
  readonly observe?: ((report: CallReport) => void) | undefined
  /** How often to look whether the policy has changed, in milliseconds. 2000. */
  readonly lookEveryMs?: number | undefined
}

interface GatewayParts {
  readonly keys: Pick<Keys, 'verifier' | 'window' | 'tokens'>
  readonly clock: Clock
  readonly log: Logger
}

/** What all calls through the gateway share. */
export class Gateway {
  readonly keys: GatewayParts['keys']
  readonly clock: Clock
  readonly upstreams: readonly Upstream[]
  readonly openCalls = new OpenCalls()
  readonly agent: UpstreamAgent
  readonly callerTokens: CallerTokens | undefined
  readonly answerTimeoutMs: number
  readonly bodyBytesMax: number
  readonly allowedOrigins: ReadonlySet<string>
  readonly observe: (report: CallReport) => void
  readonly #policyFile: PolicyFile | undefined
  readonly #stopListening: () => void
  #seal: IdSeal | undefined

  private constructor (options: GatewayOptions, parts: GatewayParts, callerTokens: CallerTokens | undefined) {
    const { policyFile, lookEveryMs } = options
    const names = options.upstreams.map(({ name }) => name)
    this.keys = parts.keys
    this.clock = parts.clock
    this.answerTimeoutMs = options.answerTimeoutMs ?? 120_000
    this.bodyBytesMax = options.bodyBytesMax ?? 4 * 1024 * 1024
    this.allowedOrigins = new Set(options.allowedOrigins)
    this.observe = options.observe ?? (() => {})
    this.callerTokens = callerTokens
    this.agent = new UpstreamAgent({ answerTimeoutMs: this.answerTimeoutMs })
    this.#policyFile = policyFile === undefined ? undefined : new PolicyFile({ path: policyFile, upstreams: names, log: parts.log, lookEveryMs })
    this.upstreams = options.upstreams.map((upstream) => new Upstream(upstream, {
      policy: () => this.#policyFile?.of(upstream.name) ?? silentPolicy, callerTokens, clock: parts.clock, log: parts.log
    }))
    this.#stopListening = parts.keys.window.onDrop((drop) => { this.openCalls.drop(drop) })
  }

  static async open (options: GatewayOptions, parts: GatewayParts): Promise<Gateway> {
    const callerTokens = options.signingKeys === undefined ? undefined : await CallerTokens.open(options.signingKeys)
    return new Gateway(options, parts, callerTokens)
  }

  // The secret is the database's, so that a session opened at one replica is known at another.
  get seal (): IdSeal {
    if (this.#seal === undefined) {
      const { rowSecret } = this.keys.window
      if (rowSecret === undefined) throw unavailable('The service has not reached its database yet. Try again.')
      this.#seal = IdSeal.derived(rowSecret)
    }
    return this.#seal
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
    await this.agent.close()
  }
}
