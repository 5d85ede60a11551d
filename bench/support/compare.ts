import type { Contender, Measurements } from './contender.ts'
import { number, type Table } from './section.ts'
import { medianOf, ratiosOf, summaryOf } from './statistics.ts'
import { withSpread } from './with-spread.ts'

/** A row for each contender, with medians, how far the rounds lay apart, and the ratio to one of them. */
export function comparisonTable (contenders: readonly Contender[], measurements: Measurements, beside: string): Table {
  return {
    columns: ['contender', 'requests/s', `beside ${beside} (= 1)`, 'server CPU, us/request', 'more than that', 'p50, ms', 'p99, ms'],
    rows: contenders.map(({ name, title }) => {
      const rounds = measurements.get(name)!
      const cpuUs = medianOf(rounds.map((round) => round.cpuUs))
      return [
        title,
        withSpread(summaryOf(rounds.map((round) => round.perSecond))),
        withSpread(ratioOf(measurements, name, beside)),
        number(cpuUs),
        number(cpuUs - medianOf(measurements.get(beside)!.map((round) => round.cpuUs))),
        number(medianOf(rounds.map((round) => round.p50Us)) / 1000),
        number(medianOf(rounds.map((round) => round.p99Us)) / 1000)
      ]
    })
  }
}

/** Of requests per second, round by round. */
export function ratioOf (measurements: Measurements, name: string, beside: string) {
  return ratiosOf(measurements.get(name)!.map((round) => round.perSecond), measurements.get(beside)!.map((round) => round.perSecond))
}

/** Microseconds of CPU that a request costs with one beyond what it costs with the other. */
export function addedCpuUs (measurements: Measurements, name: string, beside: string): number {
  const cpuUs = (of: string) => medianOf(measurements.get(of)!.map((round) => round.cpuUs))
  return cpuUs(name) - cpuUs(beside)
}
