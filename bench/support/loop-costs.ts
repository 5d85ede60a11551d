import { setImmediate as nextTurn } from 'node:timers/promises'
import { medianOf } from './statistics.ts'

const perRound = 20_000

interface LoopOptions {
  readonly rounds: number
  /** The first rounds, which are left out: the compiler needs them. */
  readonly warmUpRounds: number
}

/**
 * The processor time of one call of each work, in nanoseconds: the median of all rounds. The works take turns, so that whatever else the machine does affects all of them. Between
 * them the event loop turns, so that the trust window can be renewed.
 */
export async function loopCosts<Name extends string> (works: Readonly<Record<Name, (i: number) => void>>, { rounds, warmUpRounds }: LoopOptions): Promise<Record<Name, number>> {
  const names = Object.keys(works) as Name[]
  const found = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const before = process.cpuUsage()
      for (let i = 0; i < perRound; i++) works[name](i)
      const { user, system } = process.cpuUsage(before)
      found[name].push((user + system) / perRound * 1000)
      await nextTurn()
    }
  }
  return Object.fromEntries(names.map((name) => [name, medianOf(found[name].slice(warmUpRounds))])) as Record<Name, number>
}
