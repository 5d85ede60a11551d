import type { Teardowns } from '../../test/support/servers.ts'
import { assertHonest } from './assert-honest.ts'
import type { Contender, Running } from './contender.ts'

/** A process of each, all of which have refused strangers where they should. */
export async function startContenders (t: Teardowns, contenders: readonly Contender[]): Promise<ReadonlyMap<Contender, Running>> {
  const runnings = new Map<Contender, Running>()
  for (const contender of contenders) {
    const running = await contender.start(t)
    if (contender.authenticates !== false) await assertHonest(contender, running.url)
    runnings.set(contender, running)
  }
  return runnings
}
