import type { Clock } from './clock.ts'
import { committed } from './committed.ts'
import type { Fault } from './errors.ts'
import { invalid } from './key-errors.ts'
import type { Digest } from './key-record.ts'
import { rules } from './key-rules.ts'
import type { EndedTokens, Leak, TokenStore } from './token-store.ts'
import type { TokenFormat } from './token.ts'
import type { Force } from './window/trust.ts'

interface TokenReportsOptions {
  readonly store: TokenStore
  readonly force: Force
  readonly clock: Clock
  readonly tokens: TokenFormat
}

export interface LeakAnswer {
  readonly digest: Digest
  /** Whether it is or was a token of one of our keys. */
  readonly isOurs: boolean
  /** Whether this report ended its key. */
  readonly revoked: boolean
}

const faultsMax = 20
const text = new RegExp(rules.text.pattern, 'u')

/** Calls for callers who only have a token: end it, or report that it leaked. */
export class TokenReports {
  readonly #options: TokenReportsOptions

  constructor (options: TokenReportsOptions) {
    this.#options = options
  }

  /** Revokes the keys of leaked tokens. Returns one answer for each report, in the same order, when every replica refuses the keys. */
  async leaked (leaks: readonly Leak[], actor: string): Promise<readonly LeakAnswer[]> {
    const faults = faultsOfLeaks(leaks, this.#options.tokens)
    if (faults.length > 0) throw invalid(faults.slice(0, faultsMax))
    const ended = await this.#options.store.revokeLeaked(leaks, actor)
    await this.#inForce(ended)
    return leaks.map(({ digest }) => {
      const known = ended.known.get(digest)
      return { digest, isOurs: known !== undefined, revoked: known?.hasEnded === false }
    })
  }

  /** RFC 7009. A token in its grace ends alone, the newest ends its key. An unknown token is ignored. */
  async end (token: string): Promise<void> {
    const digest = this.#options.tokens.parse(token)
    if (digest !== undefined) await this.#inForce(await this.#options.store.endToken(digest))
  }

  async #inForce ({ change }: EndedTokens): Promise<void> {
    const { force, clock } = this.#options
    if (change !== undefined) await force.inForce(committed(clock, 'change', change.target, change.logged))
  }
}

// The audit trail keeps both texts, and people copy whole addresses, with the token in the query string.
function faultsOfLeaks (leaks: readonly Leak[], tokens: TokenFormat): Fault[] {
  return leaks.flatMap(({ url, source }, i) => Object.entries({ url, source }).flatMap(([name, value]) => {
    if (value === undefined) return []
    if (!text.test(value)) return [{ pointer: `/${i}/${name}`, detail: `Must be ${rules.text.says}.` }]
    return tokens.foundIn(value) ? [{ pointer: `/${i}/${name}`, detail: 'Contains a token, and would be stored. Remove that part.' }] : []
  }))
}
