import { setTimeout as sleep } from 'node:timers/promises'
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
const versionsWaitedForMs = 1_000
const askTimeoutMs = 5_000

/** One MCP server behind the gateway: its address, its credential, the scopes of its tools, and its state. */
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
  /** Called for each failure. */
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

  /** The upstream answered as an MCP server, even if it refused. */
  answered (): void {
    if (this.#state.state === 'up') return
    if (this.#state.state === 'failing') this.#parts.log.info({ upstream: this.name }, 'the MCP upstream answers again')
    this.#state = { name: this.name, state: 'up', cause: undefined }
  }

  failed (cause: FailureCause, code: string | undefined): void {
    this.onFailure(cause)
    // Logged once for consecutive failures of one cause; the line of each call names the cause too.
    if (this.#state.cause !== cause) this.#parts.log.warn({ upstream: this.name, cause, cause_code: code }, 'the MCP upstream failed')
    this.#state = { name: this.name, state: 'failing', cause }
  }

  /** Resolves when the read-only hints are up to date, for a following `scopeOf` or `scopeOfTool`. */
  async settled (tools: readonly string[]): Promise<void> {
    if (this.#parts.policy().trustReadOnlyHints) await this.#readOnlyTools.settled(tools)
  }

  scopeOf (messages: readonly Message[], { ownSession }: { ownSession: boolean }): Scope {
    return neededScope(messages, { scopeOfTool: (tool) => this.scopeOfTool(tool), ownSession })
  }

  scopeOfTool (tool: string): Scope {
    return toolScope(tool, this.#parts.policy(), this.#readOnlyTools.known)
  }

  /** Which tools are read-only by what is known now, to filter a list that arrives later. It decides no call. */
  readingTools (): (tool: string) => boolean {
    const [policy, known] = [this.#parts.policy(), this.#readOnlyTools.known]
    return (tool) => toolScope(tool, policy, known) === 'mcp:read'
  }

  /** Whether `text`, read as it is or as JSON, contains one of the operator's credentials for this upstream. */
  isBetrayedBy (text: string): boolean {
    const unescaped = withoutEscapes(text)
    return [this.#token, ...Object.values(this.headers)].some((secret) => secret !== undefined && (text.includes(secret) || unescaped.includes(secret)))
  }

  async authorization (subject: Subject): Promise<Record<string, string>> {
    const token = this.#token ?? await this.#parts.callerTokens?.tokenFor(this.url.href, subject)
    return token === undefined ? {} : { authorization: `Bearer ${token}` }
  }

  /** The versions that the upstream supports, by its newest answer; before the first answer all versions of the gateway. Waits at most one second for the first. */
  async versions (): Promise<readonly string[]> {
    const now = this.#parts.clock.monotonicMs()
    if (now - this.#versionsAskedAt > versionsFreshForMs && now - this.#versionsTriedAt > versionsAskedAgainAfterMs) {
      this.#versionsTriedAt = now
      const asking = this.#askVersions(now)
      this.#askingVersions = Promise.race([asking, sleep(versionsWaitedForMs, undefined, { ref: false })])
    }
    // An older answer is good enough for this request; the new one is for the next.
    if (this.#versionsAskedAt === -Infinity) await this.#askingVersions
    return this.#versions
  }

  async #askVersions (now: number): Promise<void> {
    try {
      const spoken = await askVersions({ ...await this.#asItself(), signal: AbortSignal.timeout(askTimeoutMs) })
      this.#versions = supported.filter((version) => spoken.includes(version))
      this.#versionsAskedAt = now
    } catch (error) {
      this.#parts.log.debug({ upstream: this.name, reason: (error as Error).name }, 'the upstream did not tell which protocol versions it supports')
    }
  }

  async #asItself () {
    return { url: this.url, headers: { ...this.headers, ...await this.authorization(undefined) } }
  }
}

// Servers escape more in JSON than they have to, such as `/` in base64.
function withoutEscapes (text: string): string {
  return text.replaceAll(/\\(?:u([0-9a-f]{4})|(.))/gi, (_, code: string | undefined, character: string) => code === undefined ? character : String.fromCharCode(Number.parseInt(code, 16)))
}
