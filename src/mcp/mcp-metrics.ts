import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { Gateway } from './gateway.ts'

/** Metrics of the gateway. No label names a key, a workspace or a tool; the log has those. */
export function mcpMetrics (registry: Registry, gateway: Gateway): void {
  const calls = new Counter({
    name: 'navis_keys_mcp_calls_total',
    help: 'Messages to MCP upstreams by outcome.',
    labelNames: ['upstream', 'method', 'decision'],
    registers: [registry]
  })
  const durations = new Histogram({
    name: 'navis_keys_mcp_call_duration_seconds',
    help: 'From the first byte of a request to the last byte of its answer; for streams, the time that they were open.',
    labelNames: ['upstream', 'method'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600],
    registers: [registry]
  })
  const failures = new Counter({
    name: 'navis_keys_mcp_upstream_failures_total',
    help: 'Requests that an MCP upstream failed, by cause.',
    labelNames: ['upstream', 'cause'],
    registers: [registry]
  })
  gauge(registry, { name: 'navis_keys_mcp_open_calls', help: 'Requests to MCP upstreams in progress, including open streams.' }, (told) => { told.set(gateway.openCalls.size) })
  gauge(registry, { name: 'navis_keys_mcp_held_bytes', help: 'Bytes of bodies that the gateway holds in memory.' }, (told) => { told.set(gateway.bodies.held) })
  gauge(registry, { name: 'navis_keys_mcp_upstream_up', help: '1: the newest request to the MCP upstream was answered. 0: it failed. Absent before the first.', labelNames: ['upstream'] }, (told) => {
    for (const { state: { name, state } } of gateway.upstreams) if (state !== 'unknown') told.set({ upstream: name }, state === 'up' ? 1 : 0)
  })
  for (const upstream of gateway.upstreams) upstream.onFailure = (cause) => { failures.inc({ upstream: upstream.name, cause }) }
  gateway.onReport(({ upstream, method, decision, duration_ms: durationMs }) => {
    calls.inc({ upstream, method, decision })
    durations.observe({ upstream, method }, durationMs / 1000)
  })
}

interface GaugeOptions {
  readonly name: string
  readonly help: string
  readonly labelNames?: string[]
}

// The gauge registers itself, and its value is read at each scrape.
function gauge (registry: Registry, options: GaugeOptions, tell: (gauge: Gauge) => void): void {
  const made: Gauge = new Gauge({ ...options, registers: [registry], collect () { tell(made) } })
}
