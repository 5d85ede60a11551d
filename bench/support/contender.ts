import type { Teardowns } from '../../test/support/servers.ts'
import type { RequestShape } from './load.ts'

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
