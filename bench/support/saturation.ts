import { loadAllGood, type LoadOptions } from './load.ts'
import { medianOf } from './statistics.ts'

type Asked = Omit<LoadOptions, 'seconds' | 'seed'>

/** Requests a second that each can answer at most, by turns, after a second that warms them up. */
export async function saturationsOf<One> (all: readonly One[], asked: (one: One) => Asked): Promise<Map<One, number>> {
  const found = new Map<One, number[]>(all.map((one) => [one, []]))
  for (let round = 0; round <= 2; round++) {
    for (const one of all) {
      const { perSecond } = await loadAllGood({ ...asked(one), seconds: 1, seed: round + 1 })
      if (round > 0) found.get(one)!.push(perSecond)
    }
  }
  return new Map([...found].map(([one, perSecond]) => [one, medianOf(perSecond)]))
}
