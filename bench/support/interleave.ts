import type { Teardowns } from '../../test/support/servers.ts'
import type { Bench } from '../bench.ts'
import { inRounds } from './in-rounds.ts'
import { loadAllGood, type RequestShape } from './load.ts'
import { cpuUsOf, ticksOf } from './program.ts'
import { startContenders } from './start-contenders.ts'

/** Something that answers requests, in one or more processes on the core that is measured. */
export interface Contender {
  /** Short, unique. */
  readonly name: string
  /** As the report calls it. */
  readonly title: string
  readonly shape: RequestShape
  /** A file with one token a line. */
  readonly tokensFile: string
  /** Every token in turn, each round going on where the one before ended. Else at random. */
  readonly sequential?: boolean
  /** `false`: it lets everybody through, on purpose. Else it is measured only once it has refused strangers. */
  readonly authenticates?: boolean
  /** A new process, ready for requests. */
  start (t: Teardowns): Promise<Running>
}

export interface Running {
  readonly url: string
  /** All whose time on the core counts. */
  readonly pids: readonly number[]
  /** Before each measurement, such as emptying a cache that is to be cold. */
  before? (): Promise<void>
}

export interface Measurement {
  readonly perSecond: number
  /** Time on the core for a request, all processes of the contender together, in microseconds. */
  readonly cpuUs: number
  readonly p50Us: number
  readonly p99Us: number
}

export interface SplitMeasurement extends Measurement {
  /** The part of the time on the core that was the kernel's: reading, writing, and waking up who waits. */
  readonly systemShare: number
  /** How often the load slept, for a request. */
  readonly sleeps: number
}

export type Measurements = ReadonlyMap<string, readonly Measurement[]>

interface InterleaveOptions {
  /** Seconds that each contender is warmed up for in each generation. 3. */
  readonly warmUpSeconds?: number
}

/** Measures contenders by turns, each as fast as it answers. */
export async function interleave (bench: Bench, contenders: readonly Contender[], { warmUpSeconds = 3 }: InterleaveOptions = {}): Promise<ReadonlyMap<string, readonly SplitMeasurement[]>> {
  const { seconds } = bench.options
  const sent = new Map<string, number>()
  return await inRounds(bench, contenders, async (t) => {
    const runnings = await startContenders(t, contenders)
    for (const contender of contenders) await one(contender, runnings.get(contender)!, Math.min(warmUpSeconds, seconds))
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
