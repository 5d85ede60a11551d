import { DurationHistogram, LabelledCounter } from '../http/labelled-metrics.ts'
import { CollectedMetrics, one, samplesBy, type MetricsRegistry } from '../http/metrics-registry.ts'
import type { Gateway } from './gateway.ts'

const byUpstream = samplesBy('upstream')

/** Metrics of the gateway. No label names a key, a workspace or a tool; the log has those. */
export function mcpMetrics (registry: MetricsRegistry, gateway: Gateway): void {
  const calls = new LabelledCounter({ name: 'navis_keys_mcp_calls_total', help: 'Messages to MCP upstreams by outcome.', labels: ['upstream', 'method', 'decision'] })
  const durations = new DurationHistogram({
    name: 'navis_keys_mcp_call_duration_seconds',
    help: 'From the first byte of a request to the last byte of its answer; for streams, the time that they were open.',
    labels: ['upstream', 'method'],
    boundsMs: [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000, 60_000, 600_000]
  })
  const failures = new LabelledCounter({ name: 'navis_keys_mcp_upstream_failures_total', help: 'Requests that an MCP upstream failed, by cause.', labels: ['upstream', 'cause'] })
  for (const metrics of [calls, durations, failures]) registry.register(metrics)
  registry.register(new CollectedMetrics({
    read: () => gateway,
    metrics: [
      { name: 'navis_keys_mcp_open_calls', help: 'Requests to MCP upstreams in progress, including open streams.', samples: ({ openCalls }) => one(openCalls.size) },
      { name: 'navis_keys_mcp_held_bytes', help: 'Bytes of bodies that the gateway holds in memory.', samples: ({ bodies }) => one(bodies.held) },
      {
        name: 'navis_keys_mcp_upstream_up',
        help: '1: the newest request to the MCP upstream was answered. 0: it failed. Absent before the first.',
        samples: ({ upstreams }) => byUpstream(Object.fromEntries(upstreams.flatMap(({ state: { name, state } }) => state === 'unknown' ? [] : [[name, state === 'up' ? 1 : 0]])))
      }
    ]
  }))
  for (const upstream of gateway.upstreams) upstream.onFailure = (cause) => { failures.of(upstream.name, cause).add() }
  gateway.onReport(({ upstream, method, decision, duration_ms: durationMs }) => {
    calls.of(upstream, method, decision).add()
    durations.of(upstream, method).note(durationMs)
  })
}
