import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { Message } from './protocol/message.ts'
import type { UpstreamPolicy } from './protocol/policy.ts'
import { neededScope, toolScope } from './protocol/tool-scope.ts'
import type { Scope } from '../core/scopes.ts'
import { ReadOnlyTools, listReadOnlyTools } from './read-only-tools.ts'
import type { CallerTokens, Subject } from './upstream-credential.ts'

export interface UpstreamOptions {
  /** `default` is served at `/mcp`, any other at `/mcp/{name}`. */
  readonly name: string
  readonly url: string
  /** Sent as `Authorization: Bearer …` to this upstream. None: a signed token, where a key to sign with is set, or nothing. */
  readonly token?: string | undefined
}

interface UpstreamParts {
  readonly policy: () => UpstreamPolicy
  readonly callerTokens: CallerTokens | undefined
  readonly clock: Clock
  readonly log: Logger
}

/** One MCP server behind the gateway: where it is, what its tools need, and what it is told of the caller. */
export class Upstream {
  readonly name: string
  readonly url: URL
  readonly #token: string | undefined
  readonly #parts: UpstreamParts
  readonly #readOnlyTools: ReadOnlyTools

  constructor ({ name, url, token }: UpstreamOptions, parts: UpstreamParts) {
    this.name = name
    this.url = new URL(url)
    this.#token = token
    this.#parts = parts
    const readHints = async (signal: AbortSignal) => await listReadOnlyTools({ url: this.url, headers: await this.authorization(undefined), signal })
    this.#readOnlyTools = new ReadOnlyTools({ upstream: name, readHints, clock: parts.clock, log: parts.log })
  }

  /** The path on which clients reach it. */
  get path (): string {
    return this.name === 'default' ? '/mcp' : `/mcp/${this.name}`
  }

  /** Resolves when what is known of the tools is as good as it gets, in time for `scopeOf` and `scopeOfTool`. */
  async settled (tools: readonly string[]): Promise<void> {
    if (this.#parts.policy().trustReadOnlyHints) await this.#readOnlyTools.settled(tools)
  }

  scopeOf (messages: readonly Message[], { ownSession }: { ownSession: boolean }): Scope {
    return neededScope(messages, { scopeOfTool: (tool) => this.scopeOfTool(tool), ownSession })
  }

  scopeOfTool (tool: string): Scope {
    return toolScope(tool, this.#parts.policy(), this.#readOnlyTools)
  }

  async authorization (subject: Subject): Promise<Record<string, string>> {
    const token = this.#token ?? await this.#parts.callerTokens?.tokenFor(this.url.href, subject)
    return token === undefined ? {} : { authorization: `Bearer ${token}` }
  }
}
