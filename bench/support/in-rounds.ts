import type { Teardowns } from '../../test/support/servers.ts'
import type { Bench } from '../bench.ts'
import type { Measurement } from './contender.ts'

type Found = Pick<Measurement, 'perSecond' | 'p99Us'>

/**
 * Measures `cases` round by round, A B C A B C, so that whatever the machine does meanwhile happens to all of them; each
 * round begins with another one. `open` starts everything anew for a generation and resolves to what measures one case.
 */
export async function inRounds<One extends { readonly name: string }, F extends Found> (
  bench: Bench,
  cases: readonly One[],
  open: (t: Teardowns) => Promise<(one: One) => Promise<F>>
): Promise<ReadonlyMap<string, readonly F[]>> {
  const found = new Map<string, F[]>(cases.map(({ name }) => [name, []]))
  for (let generation = 0; generation < bench.options.generations; generation++) {
    await bench.scope(async (t) => {
      const measure = await open(t)
      for (let round = 0; round < bench.options.rounds; round++) {
        for (let i = 0; i < cases.length; i++) {
          const one = cases[(i + round) % cases.length]!
          found.get(one.name)!.push(await measure(one))
        }
        bench.tell(`generation ${generation + 1}, round ${round + 1}: ${cases.map(({ name }) => `${name} ${inShort(found.get(name)!.at(-1)!)}`).join(', ')}`)
      }
    })
  }
  return found
}

function inShort ({ perSecond, p99Us }: Found): string {
  return `${Math.round(perSecond)}/s p99 ${(p99Us / 1000).toFixed(1)} ms`
}
