import t from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { openKeys } from '../../src/engine/open-keys.ts'
import { presentedToken } from '../../src/http/bearer.ts'
import { MetricsRegistry } from '../../src/http/metrics-registry.ts'
import type { CallReport } from '../../src/mcp/call-report.ts'
import { Gateway } from '../../src/mcp/gateway.ts'
import { mcpMetrics } from '../../src/mcp/mcp-metrics.ts'
import { freshDatabase } from '../support/servers.ts'

t.test('a gateway with many upstreams and methods: each series is in a scrape, and no part of the scrape is long', async (t) => {
  const keys = await openKeys({ databaseUrl: await freshDatabase(t) })
  t.teardown(() => keys.close())
  const upstreams = Array.from({ length: 50 }, (_, i) => ({ name: `upstream-${i}`, url: 'http://127.0.0.1:1/' }))
  const gateway = await Gateway.open({ upstreams }, { keys, presented: presentedToken(keys.tokens), clock: systemClock, log: silentLogger })
  t.teardown(() => gateway.close())
  const registry = new MetricsRegistry()
  mcpMetrics(registry, gateway)
  const methods = ['initialize', 'ping', 'tools/list', 'tools/call', 'resources/list', 'resources/read', 'prompts/list', 'prompts/get', 'other', 'none']
  const decisions = ['passed', 'insufficient_scope', 'upstream_failed'] as const
  for (const { name } of upstreams) for (const method of methods) for (const decision of decisions) gateway.observe(report({ upstream: name, method, decision, duration_ms: 30 }))
  for (const upstream of gateway.upstreams) {
    upstream.failed('broke_off', undefined)
    upstream.failed('broke_off', undefined)
  }

  const parts = [...registry.parts()].map(String)
  t.ok(parts.every((part) => part.split('\n').length <= 64), 'requests get their turn after each part')
  const all = parts.join('').split('\n')
  const lines = new Set(all)
  const durations = new Map<string, string[]>()
  for (const line of all) {
    const series = /_duration_.*(upstream=.*)} /.exec(line)?.[1]
    if (series !== undefined) durations.set(series, [...durations.get(series) ?? [], line])
  }
  for (const { name } of upstreams) {
    t.ok(lines.has(`navis_keys_mcp_upstream_failures_total{upstream="${name}",cause="broke_off"} 2`))
    t.ok(lines.has(`navis_keys_mcp_upstream_up{upstream="${name}"} 0`))
    for (const method of methods) {
      for (const decision of decisions) t.ok(lines.has(`navis_keys_mcp_calls_total{upstream="${name}",method="${method}",decision="${decision}"} 1`))
      const series = `upstream="${name}",method="${method}"`
      t.strictSame(durations.get(series), [
        ...['0.005', '0.01', '0.025'].map((le) => `navis_keys_mcp_call_duration_seconds_bucket{le="${le}",${series}} 0`),
        ...['0.05', '0.1', '0.25', '0.5', '1', '2.5', '10', '60', '600', '+Inf'].map((le) => `navis_keys_mcp_call_duration_seconds_bucket{le="${le}",${series}} 3`),
        `navis_keys_mcp_call_duration_seconds_sum{${series}} 0.09`,
        `navis_keys_mcp_call_duration_seconds_count{${series}} 3`
      ])
    }
  }
})

function report (told: Pick<CallReport, 'upstream' | 'method' | 'decision' | 'duration_ms'>): CallReport {
  return { key_id: undefined, workspace_id: undefined, tool: undefined, cause: undefined, cause_code: undefined, status: 200, ...told }
}
