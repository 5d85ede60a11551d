import type { Bench } from '../bench.ts'
import type { Contender, Running, SplitMeasurement } from './contender.ts'
import { inRounds } from './in-rounds.ts'
import { loadAllGood } from './load.ts'
import { cpuUsOf, ticksOf } from './program.ts'
import { startContenders } from './start-contenders.ts'

interface InterleaveOptions {
  /** Seconds that each contender is warmed up for in each generation, at most. As the run says. */
  readonly warmUpSecondsMax?: number
  /** The load never sleeps. Only where no contender waits for a store: the stores share the load's core. `false`. */
  readonly awake?: boolean
}

/** Measures contenders by turns, each as fast as it answers. */
export async function interleave (bench: Bench, contenders: readonly Contender[], { warmUpSecondsMax = Infinity, awake = false }: InterleaveOptions = {}): Promise<ReadonlyMap<string, readonly SplitMeasurement[]>> {
  const { seconds } = bench.options
  const warmUpSeconds = Math.min(bench.options.warmUpSeconds, warmUpSecondsMax)
  const sent = new Map<string, number>()
  return await inRounds(bench, contenders, async (t) => {
    const runnings = await startContenders(t, contenders)
    if (warmUpSeconds > 0) for (const contender of contenders) await one(contender, runnings.get(contender)!, warmUpSeconds)
    return (contender) => one(contender, runnings.get(contender)!, seconds)
  })

  async function one (contender: Contender, { url, pids, before }: Running, seconds: number): Promise<SplitMeasurement> {
    await before?.()
    const from = sent.get(contender.name) ?? 0
    const [cpuBefore, ticksBefore] = [cpuUsOfAll(pids), ticksOfAll(pids)]
    const result = await loadAllGood({
      url,
      seconds,
      shape: contender.shape,
      tokensFile: contender.tokensFile,
      order: contender.sequential === true ? 'sequential' : 'random',
      from,
      awake,
      seed: from + 1
    })
    const cpuUs = (cpuUsOfAll(pids) - cpuBefore) / result.requests
    const ticks = ticksOfAll(pids)
    const [user, system] = [ticks.user - ticksBefore.user, ticks.system - ticksBefore.system]
    sent.set(contender.name, from + result.requests)
    return { perSecond: result.perSecond, cpuUs, systemShare: system / Math.max(1, user + system), sleeps: result.sleeps / result.requests, p50Us: result.p50Us, p99Us: result.p99Us }
  }
}

function cpuUsOfAll (pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuUsOf(pid), 0)
}

function ticksOfAll (pids: readonly number[]): { user: number, system: number } {
  return pids.map(ticksOf).reduce((sum, { user, system }) => ({ user: sum.user + user, system: sum.system + system }), { user: 0, system: 0 })
}
