import type { Director } from './director.ts'
import type { Fleet } from './fleet.ts'
import { percentiles, waitOf, type Path, type Percentiles } from './latencies.ts'
import type { PostgresOutage, RedisOutage } from './outages.ts'
import type { Situation } from './troubles.ts'

interface Outages {
  readonly redis: readonly RedisOutage[]
  readonly postgres: readonly PostgresOutage[]
}

const situations: readonly Situation[] = [
  'nothing broken', 'replica dead, frozen or cut', 'Redis away', 'Postgres away', 'asked of the broken replica itself', 'several at once'
]
const paths: readonly Path[] = ['fast', 'slow']

/** What a run has to show, in lines. */
export function figuresOf (fleet: Fleet, director: Director, outages: Outages): string[] {
  return [...verifications(fleet), ...changes(fleet), ...latencies(fleet), ...outageLines(outages), ...faults(director), ...findings(fleet)]
}

function verifications ({ checker, recorder }: Fleet): string[] {
  const { counts, sentAfterReturn, sentAfterReturnWarm, byStatus, excused503, slowest503Ms } = checker
  const share = (100 * sentAfterReturn / Math.max(1, recorder.size)).toFixed(1)
  return [
    `verifications                    ${recorder.size}`,
    `  sent after a returned revoke   ${sentAfterReturn} (${share} %), ${sentAfterReturnWarm} on warm connections`,
    `  of the token sent just before  ${recorder.repeated}`,
    `  by status (0, 1: no answer)    ${[...byStatus].sort(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`).join(', ')}`,
    `  stale accepts                  ${counts['stale accept']}`,
    `  false refusals                 ${counts['false refusal']}`,
    `  503 that nothing excuses       ${counts['unexcused 503']} (excused: ${excused503}; the slowest of replicas not broken themselves after ${slowest503Ms.toFixed(0)} ms)`,
    `  unexpected answers             ${counts['unexpected answer']}`
  ]
}

function changes ({ changes: { made, attempts, pending } }: Fleet): string[] {
  return [
    `keys made                        ${made.created}`,
    `revokes                          ${made.revoke}; earlier expiries ${made.expiry}; keys of revoked workspaces ${made.workspace}, of owners ${made.owner}; by policies ${made.policy}; rotated ${made.rotation}; renamed ${made.renamed}`,
    `  attempts answered 503          ${attempts.unavailable}; without an answer ${attempts.lost}; never returned ${pending}`
  ]
}

function latencies ({ latencies, windowMs }: Fleet): string[] {
  const lines = [`latency of changes that returned, ms (W = ${waitOf(windowMs).toFixed(0)})`]
  for (const situation of situations) lines.push(`  ${situation.padEnd(36)} ${inWords(latencies.of({ situation }))}`)
  for (const path of paths) lines.push(`  ${`${path} path`.padEnd(36)} ${inWords(latencies.of({ path }))}`)
  return lines
}

function outageLines ({ redis, postgres }: Outages): string[] {
  return [
    ...redis.map((outage) => `Redis down for ${outage.seconds.toFixed(0)} s: ${outage.verifications} verifications, ${outage.notAnswered} of them not answered; healed in ${outage.healedMs.toFixed(0)} ms`),
    ...postgres.map(({ how, within, beyond, healedMs }) => `Postgres ${how}: within D - P ${within.verifications} verifications of cached keys, ${within.notAccepted} of them not accepted; ` +
      `beyond D ${beyond.verifications}: ${beyond.accepted} accepted, ${beyond.refused} live keys refused, the slowest answer after ${beyond.slowestMs.toFixed(0)} ms; healed in ${healedMs.toFixed(0)} ms`)
  ]
}

function faults ({ faultsByKind, scenes }: Director): string[] {
  const healed = scenes.map(({ healedMs }) => healedMs)
  return [
    `faults                           ${[...faultsByKind.values()].reduce((sum, count) => sum + count, 0)} in ${scenes.length} scenes; time to heal, ms: ${inWords(percentiles(healed))}`,
    ...[...faultsByKind].sort().map(([kind, count]) => `  ${String(count).padStart(3)} ${kind}`)
  ]
}

function findings ({ checker, faultsFound, changes: { surprises } }: Fleet): string[] {
  const found = [...checker.findings.map(({ text }) => text), ...faultsFound, ...surprises.slice(0, 20)]
  return found.length === 0 ? ['nothing else was found'] : ['FOUND', ...found.map((text) => `  ${text}`)]
}

function inWords ({ count, p50, p99, max }: Percentiles): string {
  return count === 0 ? 'none' : `${count}: p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, max ${max.toFixed(1)}`
}
