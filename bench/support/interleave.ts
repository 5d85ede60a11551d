import type { Teardowns } from '../../test/support/servers.ts'
import type { Bench } from '../bench.ts'
import { assertHonest } from './assert-honest.ts'
import { loadAllGood, type LoadOptions, type RequestShape } from './load.ts'
import { cpuUsOf } from './program.ts'

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
  readonly generation: number
  readonly perSecond: number
  /** Time on the core for a request, all processes of the contender together, in microseconds. */
  readonly cpuUs: number
  readonly p50Us: number
  readonly p99Us: number
}

export type Measurements = ReadonlyMap<string, readonly Measurement[]>

interface InterleaveOptions {
  /** Seconds that each contender is warmed up for in each generation. 3. */
  readonly warmUpSeconds?: number
  readonly load?: (contender: Contender) => Pick<LoadOptions, 'connections' | 'thinkMs'>
}

/**
 * Measures contenders round by round, A B C A B C, so that whatever the machine does meanwhile happens to all of them;
 * each round begins with another one. Every generation starts all processes anew.
 */
export async function interleave (bench: Bench, contenders: readonly Contender[], { warmUpSeconds = 3, load }: InterleaveOptions = {}): Promise<Measurements> {
  const { generations, rounds, seconds } = bench.options
  const measurements = new Map<string, Measurement[]>(contenders.map(({ name }) => [name, []]))
  const sent = new Map<string, number>()
  for (let generation = 0; generation < generations; generation++) {
    await bench.scope(async (t) => {
      const runnings = new Map<Contender, Running>()
      for (const contender of contenders) {
        const running = await contender.start(t)
        if (contender.authenticates !== false) await assertHonest(contender, running.url)
        runnings.set(contender, running)
      }
      for (const contender of contenders) await one(contender, runnings.get(contender)!, Math.min(warmUpSeconds, seconds))
      for (let round = 0; round < rounds; round++) {
        for (let i = 0; i < contenders.length; i++) {
          const contender = contenders[(i + round) % contenders.length]!
          const measurement = { generation, ...await one(contender, runnings.get(contender)!, seconds) }
          measurements.get(contender.name)!.push(measurement)
        }
        bench.tell(`generation ${generation + 1}, round ${round + 1}: ${contenders.map(({ name }) => `${name} ${Math.round(measurements.get(name)!.at(-1)!.perSecond)}`).join(', ')}`)
      }
    })
  }
  return measurements

  async function one (contender: Contender, { url, pids, before }: Running, seconds: number): Promise<Omit<Measurement, 'generation'>> {
    await before?.()
    const from = sent.get(contender.name) ?? 0
    const cpuBefore = cpuUsOfAll(pids)
    const result = await loadAllGood({
      url,
      seconds,
      shape: contender.shape,
      tokensFile: contender.tokensFile,
      order: contender.sequential === true ? 'sequential' : 'random',
      from,
      seed: from + 1,
      ...load?.(contender)
    })
    const cpuUs = (cpuUsOfAll(pids) - cpuBefore) / result.requests
    sent.set(contender.name, from + result.requests)
    return { perSecond: result.perSecond, cpuUs, p50Us: result.p50Us, p99Us: result.p99Us }
  }
}

function cpuUsOfAll (pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuUsOf(pid), 0)
}
