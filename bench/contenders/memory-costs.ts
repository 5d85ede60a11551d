import { hash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { TokenFile } from '../support/token-file.ts'

/** Nanoseconds on the core, all threads of the process together. */
export interface CostOf {
  readonly verification: number
  readonly mapLookup: number
  readonly sha256: number
}

interface CostsOptions {
  readonly file: TokenFile
  /** Keys in memory, and so entries of the map beside it. */
  readonly entries: number
  readonly verify: (token: string) => void
}

interface Work {
  readonly of: keyof CostOf
  /** One draw for each of `order` from `from` on. */
  readonly run: (tokens: readonly string[], order: Uint32Array, from: number) => void
  /** Where in the order it is: apart from the others, who would else have warmed what it is about to read. */
  at: number
  count: number
  cpuUs: number
}

const draws = 1 << 21
const perRun = 200
const sliceMs = 5
const secondsEach = 2

/** What a verification costs, beside the least that any answer from memory costs: a digest, and a lookup in a map of as many keys. */
export class Costs {
  readonly #file: TokenFile
  readonly #entries: number
  readonly #verify: (token: string) => void
  readonly #map = new Map<string, object>()

  private constructor ({ file, entries, verify }: CostsOptions) {
    this.#file = file
    this.#entries = entries
    this.#verify = verify
  }

  static async prepare (options: CostsOptions): Promise<Costs> {
    const costs = new Costs(options)
    for (let from = 0; from < options.entries; from += 2000) {
      for (const token of await options.file.read(from, Math.min(2000, options.entries - from))) costs.#map.set(hash('sha256', token, 'binary'), {})
    }
    return costs
  }

  async of (drawn: number): Promise<CostOf> {
    const tokens = await this.#file.spread(this.#entries, drawn)
    const order = Uint32Array.from({ length: draws }, () => Math.floor(Math.random() * tokens.length))
    const works = this.#works()
    globalThis.gc!()
    // The first second is for the compiler and for what the processor keeps near.
    for (const seconds of [1 / works.length, secondsEach]) {
      for (const work of works) work.count = work.cpuUs = 0
      const end = performance.now() + seconds * works.length * 1000
      while (performance.now() < end) {
        for (const work of works) slice(work, tokens, order)
        await nextTurn()
      }
    }
    return Object.fromEntries(works.map(({ of, cpuUs, count }) => [of, cpuUs / count * 1000])) as unknown as CostOf
  }

  #works (): Work[] {
    const [map, verify] = [this.#map, this.#verify]
    const runs: Record<keyof CostOf, Work['run']> = {
      verification (tokens, order, from) {
        for (let i = from; i < from + perRun; i++) verify(tokens[order[i]!]!)
      },
      mapLookup (tokens, order, from) {
        for (let i = from; i < from + perRun; i++) {
          if (map.get(hash('sha256', tokens[order[i]!]!, 'binary')) === undefined) throw new Error('It is not in the map.')
        }
      },
      sha256 (tokens, order, from) {
        for (let i = from; i < from + perRun; i++) {
          if (hash('sha256', tokens[order[i]!]!, 'binary').length !== 32) throw new Error('It is no digest.')
        }
      }
    }
    return (Object.keys(runs) as Array<keyof CostOf>).map((of, i) => ({ of, run: runs[of], at: Math.floor(draws / 3 * i), count: 0, cpuUs: 0 }))
  }
}

function slice (work: Work, tokens: readonly string[], order: Uint32Array): void {
  const until = performance.now() + sliceMs
  const before = process.cpuUsage()
  while (performance.now() < until) {
    if (work.at + perRun > draws) work.at = 0
    work.run(tokens, order, work.at)
    work.at += perRun
    work.count += perRun
  }
  const { user, system } = process.cpuUsage(before)
  work.cpuUs += user + system
}
