import { readFileSync, statSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import type { Registry } from 'prom-client'
import { CollectedMetric, one } from './collected-metrics.ts'

/**
 * Metrics of the process, by the names that prom-client gives them. Not by its `collectDefaultMetrics`: that computes seven figures of the delays of the event loop, reads
 * a folder that has an entry for each connection, and shows each space of the heap, which together took longer than all other metrics (docs/decisions/0315).
 * Returns a function that ends the measurement.
 */
export function registerProcessMetrics (registry: Registry): () => void {
  const delays = monitorEventLoopDelay()
  delays.enable()
  const processMetrics: ReadonlyArray<ConstructorParameters<typeof CollectedMetric>[0]> = [
    { name: 'process_cpu_user_seconds_total', help: 'Processor time of the process outside the kernel.', read: () => one(process.cpuUsage().user / 1e6) },
    { name: 'process_cpu_system_seconds_total', help: 'Processor time of the process in the kernel.', read: () => one(process.cpuUsage().system / 1e6) },
    {
      name: 'process_cpu_seconds_total',
      help: 'Processor time of the process.',
      read: () => {
        const { user, system } = process.cpuUsage()
        return one((user + system) / 1e6)
      }
    },
    { name: 'process_start_time_seconds', help: 'When the process started, as Unix time.', read: () => one(Math.round(performance.timeOrigin / 1000)) },
    { name: 'process_resident_memory_bytes', help: 'Memory of the process.', read: () => one(process.memoryUsage.rss()) },
    { name: 'process_open_fds', help: 'Open files and connections of the process. Linux tells them since version 6.2.', read: () => one(openDescriptors()) },
    { name: 'process_max_fds', help: 'Files and connections that the process may open.', read: () => one(descriptorsMax) },
    { name: 'nodejs_heap_size_total_bytes', help: 'Size of the JavaScript heap.', read: () => one(getHeapStatistics().total_heap_size) },
    { name: 'nodejs_heap_size_used_bytes', help: 'Used part of the JavaScript heap, with what has not been collected yet.', read: () => one(getHeapStatistics().used_heap_size) },
    { name: 'nodejs_external_memory_bytes', help: 'Memory outside the JavaScript heap that its objects hold, such as buffers.', read: () => one(getHeapStatistics().external_memory) },
    // Before the percentile, which begins a new period.
    { name: 'nodejs_eventloop_lag_max_seconds', help: 'Longest delay of the event loop since the scrape before.', read: () => delays.count === 0 ? [] : one(delays.max / 1e9) },
    {
      name: 'nodejs_eventloop_lag_p99_seconds',
      help: '99th percentile of the delays of the event loop since the scrape before.',
      read: () => {
        if (delays.count === 0) return []
        const nanoseconds = delays.percentile(99)
        delays.reset()
        return one(nanoseconds / 1e9)
      }
    }
  ]
  for (const metric of processMetrics) new CollectedMetric(metric).register(registry)
  return () => { delays.disable() }
}

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
