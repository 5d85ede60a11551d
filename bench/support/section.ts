import type { Plot } from './plot.ts'

/** One part of the report: what a scenario found. */
export interface Section {
  readonly title: string
  /** What was done, in a sentence or two. */
  readonly about: string
  readonly tables: readonly Table[]
  readonly goals: readonly Goal[]
  /** How its figures grow with something; kept in `bench/plots/`. */
  readonly plots?: readonly Plot[]
}

export interface Table {
  readonly columns: readonly string[]
  readonly rows: ReadonlyArray<readonly string[]>
}

/** A figure that was aimed at, and the one that was reached. */
export interface Goal {
  readonly what: string
  readonly reached: number
  readonly atLeast?: number
  readonly atMost?: number
  readonly unit?: string
}

export function isReached ({ reached, atLeast = -Infinity, atMost = Infinity }: Goal): boolean {
  return reached >= atLeast && reached <= atMost
}

export function printSection ({ title, about, tables, goals, plots = [] }: Section): string {
  const parts = [`### ${title}`, about, ...plots.map((plot) => `![${plot.title}](plots/${plot.name}.svg)`), ...tables.map(printTable)]
  if (goals.length > 0) parts.push(printTable({ columns: ['aim', 'wanted', 'reached', ''], rows: goals.map(goalRow) }))
  return parts.join('\n\n')
}

function goalRow (goal: Goal): string[] {
  const { what, reached, atLeast, atMost, unit = '' } = goal
  const wanted = atLeast === undefined ? `at most ${number(atMost!)}${unit}` : `at least ${number(atLeast)}${unit}`
  return [what, wanted, `${number(reached)}${unit}`, isReached(goal) ? 'yes' : '**no**']
}

export function printTable ({ columns, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(columns), line(columns.map(() => '---')), ...rows.map(line)].join('\n')
}

/** Three digits that count, and commas in large numbers. */
export function number (value: number): string {
  if (!Number.isFinite(value)) return String(value)
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}
