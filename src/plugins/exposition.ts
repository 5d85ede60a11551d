import type { KeysStats } from '../open-keys.ts'
import { latencyBoundsMs } from '../core/window/latencies.ts'
import type { WindowSnapshot } from '../core/window/window-snapshot.ts'

const levels = new Set(['entries', 'pending', 'underWay', 'statementsUnderWay', 'digestsWaiting', 'writesUnderWay'])

/** The engine's own counters in Prometheus' text format. No label ever names a key, a workspace or a token. */
export function expose (stats: KeysStats, window: WindowSnapshot): string {
  return [...numbersOf('navis_keys', stats), ...windowLines(window), ''].join('\n')
}

/** A line for every number in a tree of them: a counter, unless its name is that of a level. */
function numbersOf (prefix: string, tree: object): string[] {
  return Object.entries(tree).flatMap(([name, value]: [string, unknown]) => {
    const path = `${prefix}_${snakeCase(name)}`
    if (typeof value === 'number') return levels.has(name) ? gauge(path, value) : counter(`${path}_total`, value)
    return typeof value === 'object' && value !== null ? numbersOf(path, value) : []
  })
}

function windowLines (window: WindowSnapshot): string[] {
  const name = 'navis_keys_change_in_force_seconds'
  return [
    ...gauge('navis_keys_window_open', window.isOpen ? 1 : 0),
    ...(window.renewalAgeMs === undefined ? [] : gauge('navis_keys_window_renewal_age_seconds', window.renewalAgeMs / 1000)),
    ...gauge('navis_keys_window_seconds', window.windowMs / 1000),
    ...gauge('navis_keys_window_applied', window.applied),
    ...(window.floor === undefined ? [] : gauge('navis_keys_window_floor', window.floor)),
    ...gauge('navis_keys_window_tail_rows', window.tailRows),
    ...gauge('navis_keys_window_members', window.members),
    ...gauge('navis_keys_window_changes_waiting', window.waiting),
    ...counter('navis_keys_window_members_reaped_total', window.reaped),
    ...counter('navis_keys_window_joins_total', window.joins),
    ...counter('navis_keys_window_hints_total', window.hints),
    ...numbersOf('navis_keys_window_renewals', window.renewals),
    `# HELP ${name} From the commit of a change until no replica can miss it any more, by path.`,
    `# TYPE ${name} histogram`,
    ...(['fast', 'slow'] as const).flatMap((path) => {
      const { atMost, count, sumMs } = window.inForce[path]
      return [
        ...latencyBoundsMs.map((bound, i) => `${name}_bucket{path="${path}",le="${bound / 1000}"} ${atMost[i] ?? 0}`),
        `${name}_bucket{path="${path}",le="+Inf"} ${count}`,
        `${name}_sum{path="${path}"} ${sumMs / 1000}`,
        `${name}_count{path="${path}"} ${count}`
      ]
    })
  ]
}

function gauge (name: string, value: number): string[] {
  return [`# TYPE ${name} gauge`, `${name} ${value}`]
}

function counter (name: string, value: number): string[] {
  return [`# TYPE ${name} counter`, `${name} ${value}`]
}

function snakeCase (name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
