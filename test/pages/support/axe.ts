import type axe from 'axe-core'
import { readFileSync } from 'node:fs'

/** axe in its short form: evaluate it in a page first. */
export const axeSource = readFileSync(new URL('../../../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8')

// Of those that run by default. A test reads that the two schemes differ in nothing but colours.
const rulesOfColors = ['color-contrast', 'link-in-text-block']

export interface Findings {
  /** How many rules found something to look at. */
  readonly applied: number
  readonly violations: ReadonlyArray<Pick<axe.Result, 'id' | 'impact'> & { readonly nodes: ReadonlyArray<Pick<axe.NodeResult, 'html' | 'failureSummary'>> }>
}

/** An expression to evaluate in a page. `colors`: only the rules that look at colours. What passes is only counted: a page has hundreds of elements. */
export function axeRun ({ colors = false } = {}): string {
  const options: axe.RunOptions = { resultTypes: ['violations'], ...colors && { runOnly: { type: 'rule', values: rulesOfColors } } }
  return `axe.run(${JSON.stringify(options)}).then(({ violations, passes }) => ({
    applied: passes.length + violations.length,
    violations: violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.map(({ html, failureSummary }) => ({ html, failureSummary })) }))
  }))`
}

export function toldOf ({ violations }: Findings): string[] {
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary ?? ''}`).join('\n')}`)
}
