import { readFileSync, statSync } from 'node:fs'
import { PolicyRefused, readPolicies, silentPolicy, type Policies, type UpstreamPolicy } from './protocol/policy.ts'
import type { Logger } from '../core/logger.ts'

interface PolicyFileOptions {
  readonly path: string
  /** The names of the upstreams that are configured. */
  readonly upstreams: readonly string[]
  readonly log: Logger
  /** How often to look whether the file has changed, in milliseconds. 2000. */
  readonly lookEveryMs?: number | undefined
}

/**
 * The operator's policy, read again when its file changes. The service does not start with an invalid file; if the file becomes invalid
 * later, the last valid policy stays in force.
 */
export class PolicyFile {
  readonly #options: PolicyFileOptions
  readonly #looking: NodeJS.Timeout
  #seen: string
  #policies: Policies

  constructor (options: PolicyFileOptions) {
    this.#options = options
    // The version is read before the file, so that a change between the two is noticed.
    this.#seen = versionOf(options.path)
    this.#policies = this.#read()
    // Polled by path: mounted configuration changes by moving a symbolic link, which file events do not report.
    this.#looking = setInterval(() => { this.#look() }, options.lookEveryMs ?? 2000).unref()
  }

  of (upstream: string): UpstreamPolicy {
    return this.#policies.get(upstream) ?? silentPolicy
  }

  close (): void {
    clearInterval(this.#looking)
  }

  #look (): void {
    const { path, log } = this.#options
    const version = versionOf(path)
    if (version === this.#seen) return
    this.#seen = version
    try {
      this.#policies = this.#read()
      log.info({ file: path }, 'the MCP policy was read again')
    } catch (error) {
      log.error({ file: path, reason: (error as Error).message }, 'the MCP policy cannot be used; the last valid policy stays in force')
    }
  }

  #read (): Policies {
    const { path, upstreams } = this.#options
    try {
      return readPolicies(readFileSync(path), upstreams)
    } catch (error) {
      if (error instanceof PolicyRefused) throw new PolicyRefused(`MCP_POLICY_FILE: ${error.message}`)
      throw new PolicyRefused(`MCP_POLICY_FILE names a file that cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'}).`)
    }
  }
}

function versionOf (path: string): string {
  try {
    const { ino, size, mtimeNs } = statSync(path, { bigint: true })
    return `${ino} ${size} ${mtimeNs}`
  } catch {
    return 'none'
  }
}
