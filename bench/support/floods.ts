import { setTimeout as pause } from 'node:timers/promises'
import { plain } from '../contenders.ts'
import { keysStats } from './keys-stats.ts'
import { load, type LoadResult, type RequestShape } from './load.ts'
import { Pace } from './pace.ts'
import { unknownTokens } from './seed.ts'

/** Requests that come beside the traffic that is measured. */
export interface Flood {
  readonly name: string
  readonly title: string
  /** Where it comes from; a number: from so many addresses. */
  readonly from: string | number
  /** Its tokens are of keys that exist: what so many requests cost anyway. */
  readonly isKnown?: boolean
}

/** What became of a flood, each second. */
export interface FloodFigures {
  readonly sent: number
  readonly unknown: number
  readonly tooMany: number
  readonly statements: number
  readonly digests: number
}

const floodPerSecond = 2000
// The address that floods has used its budget up before anything is measured.
const leadMs = 500

interface FloodsOptions {
  /** Where files with its tokens go. */
  readonly dir: string
  readonly url: string
  readonly knownTokensFile: string
}

/** Floods one process of `contenders/plugin.ts` that trusts its proxy, and finds out what becomes of it. */
export class Floods {
  readonly #options: FloodsOptions
  readonly #paces = new Map<string, Pace>()

  constructor (options: FloodsOptions) {
    this.#options = options
  }

  /** Finds out how many connections it takes: those whose budget is spent wait for their answers. */
  async prepare (one: Flood): Promise<void> {
    const pace = new Pace({ perSecond: floodPerSecond, thinkMs: 50 })
    this.#paces.set(one.name, pace)
    await pace.reach(() => this.#send(one, 1))
  }

  async during<F> (one: Flood, seconds: number, act: () => Promise<F>): Promise<{ found: F, figures: FloodFigures }> {
    const flood = this.#send(one, seconds + 1)
    flood.catch(() => {})
    try {
      await pause(leadMs)
      const before = await this.#look()
      const found = await act()
      const after = await this.#look()
      const sent = await flood
      this.#paces.get(one.name)!.correct(sent)
      const perSecond = (of: (one: typeof after) => number) => (of(after) - of(before)) / (after.at - before.at) * 1000
      return {
        found,
        figures: {
          sent: sent.perSecond,
          unknown: perSecond(({ verifier }) => verifier.refused.unknown),
          tooMany: perSecond(({ verifier }) => verifier.budgetRefused),
          statements: perSecond(({ postgres }) => postgres.statements),
          digests: perSecond(({ postgres }) => postgres.digests)
        }
      }
    } finally {
      // It ends by itself; nothing else may be measured until it has.
      await flood.catch(() => {})
    }
  }

  async #send ({ name, from, isKnown = false }: Flood, seconds: number): Promise<LoadResult> {
    const { dir, url, knownTokensFile } = this.#options
    const result = await load({
      ...this.#paces.get(name)!.load,
      url,
      seconds,
      shape: typeof from === 'string' ? shapeFrom(from) : plain,
      addresses: typeof from === 'string' ? 0 : from,
      // Twice as many as will be sent: none may be sent twice.
      tokensFile: isKnown ? knownTokensFile : await unknownTokens(dir, floodPerSecond * seconds * 2),
      order: isKnown ? 'random' : 'sequential'
    })
    if (result.refused !== (isKnown ? 0 : result.requests)) throw new Error(`Of ${result.requests} requests of ${name}, ${result.refused} were refused.`)
    return result
  }

  async #look () {
    return { ...await keysStats(this.#options.url), at: performance.now() }
  }
}

export function shapeFrom (address: string): RequestShape {
  return { ...plain, headers: { 'x-forwarded-for': address } }
}
