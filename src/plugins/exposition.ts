import type { KeysStats } from '../engine/open-keys.ts'
import { latencyBoundsMs } from '../core/window/latencies.ts'
import type { WindowSnapshot } from '../core/window/window-snapshot.ts'
import { measures } from './measures.ts'

const inForce = 'navis_keys_change_in_force_seconds'

/** The engine's own figures in Prometheus' text format. No label ever names a key, a workspace or a token. */
export function expose (stats: KeysStats, window: WindowSnapshot): string {
  const families = measures.flatMap(({ name, help, read }) => {
    const samples = read(stats, window).filter(({ value }) => value !== undefined)
    if (samples.length === 0) return []
    const lines = samples.map(({ labels = '', value }) => `${name}${labels === '' ? '' : `{${labels}}`} ${value}`)
    return [...header(name, help, name.endsWith('_total') ? 'counter' : 'gauge'), ...lines]
  })
  return [...families, ...inForceLines(window), ''].join('\n')
}

function inForceLines ({ inForce: histograms }: WindowSnapshot): string[] {
  return [
    ...header(inForce, 'From the commit of a change that takes something away until no replica can miss it any more: fast, every replica said so; slow, their windows had ended.', 'histogram'),
    ...(['fast', 'slow'] as const).flatMap((path) => {
      const { atMost, count, sumMs } = histograms[path]
      return [
        ...latencyBoundsMs.map((bound, i) => `${inForce}_bucket{path="${path}",le="${bound / 1000}"} ${atMost[i] ?? 0}`),
        `${inForce}_bucket{path="${path}",le="+Inf"} ${count}`,
        `${inForce}_sum{path="${path}"} ${sumMs / 1000}`,
        `${inForce}_count{path="${path}"} ${count}`
      ]
    })
  ]
}

function header (name: string, help: string, type: string): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`]
}
