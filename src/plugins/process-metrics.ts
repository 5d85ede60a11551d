import { readFileSync, statSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { CollectedMetrics, one, type CollectedMetric } from '../http/metrics-registry.ts'

interface Reading {
  readonly cpu: NodeJS.CpuUsage
  readonly memory: NodeJS.MemoryUsage
  readonly delays: { readonly maxS: number, readonly p99S: number } | undefined
}

/**
 * By the names that prom-client gives them. Not by its `collectDefaultMetrics`: that computes seven figures of the delays of the event loop, reads a folder that has an
 * entry for each connection, and shows each space of the heap, which together took longer than all other metrics (docs/decisions/0315).
 */
const metrics: ReadonlyArray<CollectedMetric<Reading>> = [
  { name: 'process_cpu_user_seconds_total', help: 'Processor time of the process outside the kernel.', samples: ({ cpu }) => one(cpu.user / 1e6) },
  { name: 'process_cpu_system_seconds_total', help: 'Processor time of the process in the kernel.', samples: ({ cpu }) => one(cpu.system / 1e6) },
  { name: 'process_cpu_seconds_total', help: 'Processor time of the process.', samples: ({ cpu }) => one((cpu.user + cpu.system) / 1e6) },
  { name: 'process_start_time_seconds', help: 'When the process started, as Unix time.', samples: () => one(startedAt) },
  { name: 'process_resident_memory_bytes', help: 'Memory of the process.', samples: ({ memory }) => one(memory.rss) },
  { name: 'process_open_fds', help: 'Open files and connections of the process. Linux tells them since version 6.2.', samples: () => one(openDescriptors()) },
  { name: 'process_max_fds', help: 'Files and connections that the process may open.', samples: () => one(descriptorsMax) },
  { name: 'nodejs_heap_size_total_bytes', help: 'Size of the JavaScript heap.', samples: ({ memory }) => one(memory.heapTotal) },
  { name: 'nodejs_heap_size_used_bytes', help: 'Used part of the JavaScript heap, with what has not been collected yet.', samples: ({ memory }) => one(memory.heapUsed) },
  { name: 'nodejs_external_memory_bytes', help: 'Memory outside the JavaScript heap that its objects hold, such as buffers.', samples: ({ memory }) => one(memory.external) },
  { name: 'nodejs_eventloop_lag_max_seconds', help: 'Longest delay of the event loop since the scrape before.', samples: ({ delays }) => one(delays?.maxS) },
  { name: 'nodejs_eventloop_lag_p99_seconds', help: '99th percentile of the delays of the event loop since the scrape before.', samples: ({ delays }) => one(delays?.p99S) }
]

/** Each measurement wakes the process, which costs more than a scrape a second at Node's default of 10 ms. Delays shorter than this may be missed. */
const measuredEveryMs = 50

/** Metrics of the process, and a function that ends the measurement of delays. */
export function processMetrics (): { readonly metrics: CollectedMetrics<Reading>, end (): void } {
  const intervals = monitorEventLoopDelay({ resolution: measuredEveryMs })
  intervals.enable()
  const read = () => ({ cpu: process.cpuUsage(), memory: process.memoryUsage(), delays: delaysOf(intervals) })
  return { metrics: new CollectedMetrics({ read, metrics }), end () { intervals.disable() } }
}

/** The delays since the call before; `undefined` if none was measured. */
function delaysOf (intervals: ReturnType<typeof monitorEventLoopDelay>): Reading['delays'] {
  if (intervals.count === 0) return undefined
  // Node records the time from one measurement to the next.
  const delayS = (nanoseconds: number) => Math.max(0, nanoseconds / 1e9 - measuredEveryMs / 1000)
  const delays = { maxS: delayS(intervals.max), p99S: delayS(intervals.percentile(99)) }
  intervals.reset()
  return delays
}

const startedAt = Math.round(performance.timeOrigin / 1000)
const descriptorsMax = readDescriptorsMax()

/** `undefined` on systems other than Linux. */
function readDescriptorsMax (): number | undefined {
  try {
    const [, max] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return max === undefined ? undefined : Number(max)
  } catch {
    return undefined
  }
}

/** Linux shows the number as the size of the folder since version 6.2. Before that it is 0: counting the entries would take longer the more connections there are. */
function openDescriptors (): number | undefined {
  const size = statSync('/proc/self/fd', { throwIfNoEntry: false })?.size ?? 0
  return size === 0 ? undefined : size
}
