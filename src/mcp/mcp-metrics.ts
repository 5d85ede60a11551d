import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { CallReport } from './call-report.ts'

/** What the gateway's calls look like from far away: no key, no workspace, no tool. Those stand in the log. */
export function mcpMetrics (registry: Registry, openCalls: () => number): (report: CallReport) => void {
  const calls = new Counter({
    name: 'navis_keys_mcp_calls_total',
    help: 'Messages to MCP upstreams by what became of them.',
    labelNames: ['upstream', 'method', 'decision'],
    registers: [registry]
  })
  const durations = new Histogram({
    name: 'navis_keys_mcp_call_duration_seconds',
    help: 'From the first byte of a request to the last of its answer; streams as long as they were open.',
    labelNames: ['upstream', 'method'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600],
    registers: [registry]
  })
  // eslint-disable-next-line no-new -- It registers itself, and is asked for its value at each scrape.
  new Gauge({
    name: 'navis_keys_mcp_open_calls',
    help: 'Requests on their way to an MCP upstream or back, open streams among them.',
    registers: [registry],
    collect () { this.set(openCalls()) }
  })
  return ({ upstream, method, decision, duration_ms: durationMs }) => {
    calls.inc({ upstream, method, decision })
    durations.observe({ upstream, method }, durationMs / 1000)
  }
}
