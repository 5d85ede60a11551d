import type { UpstreamSettings } from '../config/gateway-config.ts'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import { defaultMcpPath } from '../core/mcp-path.ts'
import type { Scope } from '../core/scopes.ts'
import type { Message } from './protocol/message.ts'
import type { UpstreamPolicy } from './protocol/policy.ts'
import { supported } from './protocol/protocol.ts'
import { neededScope, toolScope } from './protocol/tool-scope.ts'
import { askVersions, listReadOnlyTools, ReadOnlyTools } from './read-only-tools.ts'
import type { UpstreamCause } from './upstream-client.ts'
import type { CallerTokens, Subject } from './upstream-credential.ts'

interface UpstreamParts {
  readonly policy: () => UpstreamPolicy
  readonly callerTokens: CallerTokens | undefined
  readonly clock: Clock
  readonly log: Logger
}

type FailureCause = UpstreamCause | 'broke_off'

/** How the newest request to an upstream ended. */
export interface UpstreamState {
  readonly name: string
  /** `unknown` before the first request. */
  readonly state: 'unknown' | 'up' | 'failing'
  readonly cause: FailureCause | undefined
}

const versionsFreshForMs = 60_000
const versionsAskedAgainAfterMs = 5_000
const askTimeoutMs = 5_000

/** One MCP server behind the gateway: where it is, what its tools need, what it is told of the caller, and how it does. */
export class Upstream {
  readonly name: string
  readonly url: URL
  /** The path on which clients reach it. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly #token: string | undefined
  readonly #parts: UpstreamParts
  readonly #readOnlyTools: ReadOnlyTools
  #state: UpstreamState
  #versions: readonly string[] = supported
  #versionsAskedAt = -Infinity
  #versionsTriedAt = -Infinity
  #askingVersions: Promise<void> | undefined
  /** Told of each failure. */
  onFailure: (cause: FailureCause) => void = () => {}

  constructor ({ name, url, path, token, headers = {} }: UpstreamSettings, parts: UpstreamParts) {
    this.name = name
    this.url = new URL(url)
    this.path = path ?? defaultMcpPath(name)
    this.headers = headers
    this.#token = token
    this.#parts = parts
    this.#state = { name, state: 'unknown', cause: undefined }
    this.#readOnlyTools = new ReadOnlyTools({
      upstream: name,
      ask: async (signal) => await listReadOnlyTools({ ...await this.#asItself(), signal }),
      clock: parts.clock,
      log: parts.log
    })
  }

  get state (): UpstreamState {
    return this.#state
  }

  /** It answered as an MCP server does, if only with a refusal. */
  answered (): void {
    if (this.#state.state === 'up') return
    if (this.#state.state === 'failing') this.#parts.log.info({ upstream: this.name }, 'the MCP upstream answers again')
    this.#state = { name: this.name, state: 'up', cause: undefined }
  }

  failed (cause: FailureCause, code: string | undefined): void {
    this.onFailure(cause)
    // One line for a spell of failures of one kind: each call has a line of its own that names the cause too.
    if (this.#state.cause !== cause) this.#parts.log.warn({ upstream: this.name, cause, cause_code: code }, 'the MCP upstream failed')
    this.#state = { name: this.name, state: 'failing', cause }
  }

  /** Resolves when what is known of the tools is as good as it gets, in time for `scopeOf` and `scopeOfTool`. */
  async settled (tools: readonly string[]): Promise<void> {
    if (this.#parts.policy().trustReadOnlyHints) await this.#readOnlyTools.settled(tools)
  }

  scopeOf (messages: readonly Message[], { ownSession }: { ownSession: boolean }): Scope {
    return neededScope(messages, { scopeOfTool: (tool) => this.scopeOfTool(tool), ownSession })
  }

  scopeOfTool (tool: string): Scope {
    return toolScope(tool, this.#parts.policy(), this.#readOnlyTools.known)
  }

  /** Which tools read by what is known now, for a list that is shown later. It decides no call. */
  readingTools (): (tool: string) => boolean {
    const [policy, known] = [this.#parts.policy(), this.#readOnlyTools.known]
    return (tool) => toolScope(tool, policy, known) === 'mcp:read'
  }

  /** Whether there is one of the operator's credentials for this upstream in `text`. */
  isBetrayedBy (text: string): boolean {
    return [this.#token, ...Object.values(this.headers)].some((secret) => secret !== undefined && text.includes(secret))
  }

  async authorization (subject: Subject): Promise<Record<string, string>> {
    const token = this.#token ?? await this.#parts.callerTokens?.tokenFor(this.url.href, subject)
    return token === undefined ? {} : { authorization: `Bearer ${token}` }
  }

  /** The versions that it speaks; all that the gateway knows while it does not say. */
  async versions (): Promise<readonly string[]> {
    const now = this.#parts.clock.monotonicMs()
    if (now - this.#versionsAskedAt > versionsFreshForMs && now - this.#versionsTriedAt > versionsAskedAgainAfterMs) {
      this.#versionsTriedAt = now
      this.#askingVersions = this.#askVersions(now).finally(() => { this.#askingVersions = undefined })
    }
    await this.#askingVersions
    return this.#versions
  }

  async #askVersions (now: number): Promise<void> {
    try {
      const spoken = await askVersions({ ...await this.#asItself(), signal: AbortSignal.timeout(askTimeoutMs) })
      this.#versions = supported.filter((version) => spoken.includes(version))
      this.#versionsAskedAt = now
    } catch (error) {
      this.#versions = supported
      this.#parts.log.debug({ upstream: this.name, reason: (error as Error).name }, 'the upstream did not tell which protocol versions it supports')
    }
  }

  async #asItself () {
    return { url: this.url, headers: { ...this.headers, ...await this.authorization(undefined) } }
  }
}
