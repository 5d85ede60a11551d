import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parse, stringify } from 'yaml'
import { createLogger } from '../../src/http/logging.ts'
import { Scrubber } from '../../src/http/scrubber.ts'
import { requireProgram } from '../support/programs.ts'
import { chart, of, render } from './helm.ts'

const rulesPath = 'deploy/prometheus/navis-keys.rules.yaml'
const rulesText = readFileSync(rulesPath, 'utf8')

interface Alert {
  readonly alert: string
  readonly expr: string
  readonly for?: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}
const alerts = (parse(rulesText) as { groups: Array<{ rules: Alert[] }> }).groups.flatMap(({ rules }) => rules)

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly gridPos: { readonly x: number, readonly y: number, readonly w: number, readonly h: number }
  readonly targets?: ReadonlyArray<{ readonly expr: string }>
}
const dashboardText = readFileSync('deploy/grafana/navis-keys.json', 'utf8')
const dashboard = JSON.parse(dashboardText) as { panels: Panel[], templating: { list: Array<{ name: string, query: { query: string } | string }> } }
const queries = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })))

/** Names of metrics in an expression, without what Prometheus adds to those of a histogram. */
function metricsIn (expr: string, histograms: ReadonlySet<string>): string[] {
  return [...expr.matchAll(/\b(?:navis_keys|process|nodejs)_\w+/g)].map(([name]) => {
    const base = name.replace(/_(bucket|sum|count)$/, '')
    return histograms.has(base) ? base : name
  })
}

/** What docs/metrics.md and docs/gateway.md name; tests of their own hold those against a scrape. */
function documented (): Map<string, { type: string, labels: string[] }> {
  const page = readFileSync('docs/metrics.md', 'utf8')
  return new Map([...page.matchAll(/^\| `(\w+)` \| (\w+) \| (.*?) ?\| /gm)].map(([, name = '', type = '', labels = '']) => [name, { type, labels: labels.split(', ').filter(Boolean) }]))
}

t.test('promtool finds nothing wrong with the rules', async (t) => {
  t.match(execFileSync(requireProgram('promtool'), ['check', 'rules', '--lint=all', '--lint-fatal', rulesPath], { encoding: 'utf8' }), /SUCCESS/)
})

t.test('every alert fires, and keeps silent, when it should', async (t) => {
  const tests = parse(readFileSync('test/deploy/rules.promtool.yaml', 'utf8')) as { tests: Array<{ alert_rule_test: Array<{ alertname: string, exp_alerts?: unknown[] }> }> }
  const tested = tests.tests.flatMap(({ alert_rule_test: cases }) => cases)
  for (const { alert } of alerts) {
    const cases = tested.filter(({ alertname }) => alertname === alert)
    t.ok(cases.some(({ exp_alerts: expected = [] }) => expected.length > 0), `${alert} fires in a test`)
    t.ok(cases.some(({ exp_alerts: expected = [] }) => expected.length === 0), `${alert} is silent in a test`)
  }
  const folder = mkdtempSync(join(tmpdir(), 'navis-rules-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  // What an alert says is compared whole by promtool; here it is the labels that count.
  const texts = new Map(alerts.map(({ alert, annotations }) => [alert, annotations]))
  for (const { alertname, exp_alerts: expected } of tested) {
    for (const one of expected ?? []) (one as Record<string, unknown>)['exp_annotations'] ??= texts.get(alertname)
  }
  const bare = { groups: (parse(rulesText) as { groups: Array<{ name: string, rules: Alert[] }> }).groups.map((group) => ({ ...group, rules: group.rules.map((rule) => ({ ...rule, annotations: plainTexts(rule.annotations) })) })) }
  for (const annotations of texts.values()) Object.assign(annotations, plainTexts(annotations))
  writeFileSync(join(folder, 'rules.yaml'), stringify(bare))
  writeFileSync(join(folder, 'tests.yaml'), stringify({ ...tests, rule_files: ['rules.yaml'] }, { aliasDuplicateObjects: false }))
  const { status, stdout, stderr } = spawnSync(requireProgram('promtool'), ['test', 'rules', join(folder, 'tests.yaml')], { encoding: 'utf8' })
  t.equal(status, 0, stdout + stderr)
})

// Values in the texts are Prometheus' own matter.
function plainTexts (annotations: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(annotations).map(([name, text]) => [name, text.replaceAll(/\{\{.*?\}\}/g, 'X')]))
}

t.test('every metric that rules and dashboard name is one of ours, with the labels that they select by', async (t) => {
  const known = documented()
  t.ok(known.size > 20)
  const histograms = new Set([...known].filter(([, { type }]) => type === 'histogram').map(([name]) => name))
  const gateway = readFileSync('docs/gateway.md', 'utf8')
  for (const name of gateway.match(/navis_keys_mcp_\w+_seconds/g) ?? []) histograms.add(name)
  for (const { title, expr } of [...alerts.map(({ alert, expr }) => ({ title: alert, expr })), ...queries]) {
    const names = metricsIn(expr, histograms)
    t.ok(names.length > 0, title)
    for (const name of names) {
      const isOurs = known.has(name) || (name.startsWith('navis_keys_mcp_') && gateway.includes(`\`${name}`))
      t.ok(isOurs, `${title}: ${name}`)
    }
    for (const [, name = '', selector = ''] of expr.matchAll(/\b(navis_keys_\w+)\{([^}]*)\}/g)) {
      const labels = known.get(name.replace(/_(bucket|sum|count)$/, ''))?.labels ?? known.get(name)?.labels
      if (labels === undefined) continue
      for (const [, label = ''] of selector.matchAll(/(\w+)\s*[=!]/g)) t.ok(['namespace', 'job', 'instance', ...labels].includes(label), `${title}: ${name} has the label ${label}`)
    }
  }
})

t.test('every alert says how grave it is and names its section of the runbook, and the runbook has no other', async (t) => {
  const runbook = readFileSync('docs/runbook.md', 'utf8')
  const sections = new Map(runbook.split(/^## /m).slice(1).map((section) => [section.split('\n')[0] ?? '', section]))
  t.same([...sections.keys()].sort(), alerts.map(({ alert }) => alert).sort())
  for (const { alert, labels, annotations } of alerts) {
    t.ok(['critical', 'warning', 'info'].includes(labels['severity'] ?? ''), alert)
    t.ok(annotations['summary'] !== undefined && annotations['description'] !== undefined, alert)
    t.equal(annotations['runbook'], `docs/runbook.md#${alert.toLowerCase()}`)
    for (const part of ['Symptom', 'Cause', 'Meanwhile', 'Do']) t.match(sections.get(alert), `- **${part}**: `, `${alert}: ${part}`)
  }
})

t.test('the commands of the runbook ask every pod of the chart, at the port that its probes use', async (t) => {
  const runbook = readFileSync('docs/runbook.md', 'utf8')
  const selector = Object.fromEntries(/^PODS=(.*)$/m.exec(runbook)![1]!.split(',').map((pair) => pair.split('='))) as Record<string, string>
  const [deployment] = of(render(), 'Deployment') as unknown as Array<{ spec: { template: { metadata: { labels: Record<string, string> }, spec: { containers: Array<{ ports: Array<{ name: string, containerPort: number }> }> } } } }>
  t.match(deployment?.spec.template.metadata.labels, selector)
  t.equal(deployment?.spec.template.spec.containers[0]?.ports.find(({ name }) => name === 'metrics')?.containerPort, Number(/127\.0\.0\.1:(\d+)\/readyz/.exec(runbook)?.[1]))
  const selected = runbook.split('\n').filter((line) => /^ *kubectl .* (get|logs) |\(kubectl/.test(line))
  t.ok(selected.length >= 3 && selected.every((line) => line.includes('-l $PODS')), 'none asks one pod of several')
})

t.test('the command of the runbook finds the lines of the log that matter', async (t) => {
  const pattern = new RegExp(/grep -E '([^']+)'/.exec(readFileSync('docs/runbook.md', 'utf8'))![1]!)
  const lines: string[] = []
  const log = createLogger({ level: 'trace', scrubber: new Scrubber({ tokenPrefix: 'nops_', secrets: [] }), destination: { write: (line) => { lines.push(line) } } })
  for (const level of ['debug', 'info', 'warn', 'error', 'fatal'] as const) log[level]({}, level)
  t.same(lines.filter((line) => pattern.test(line)).map((line) => JSON.parse(line).msg), ['warn', 'error', 'fatal'])
})

t.test('the chart brings the same rules and the same dashboard', async (t) => {
  t.equal(readFileSync(join(chart, 'files/navis-keys.rules.yaml'), 'utf8'), rulesText, 'run npm run deploy:render')
  t.equal(readFileSync(join(chart, 'files/navis-keys.json'), 'utf8'), dashboardText, 'run npm run deploy:render')
  const manifests = render('--set', 'metrics.prometheusRule.enabled=true', '--set', 'metrics.dashboard.enabled=true')
  t.strictSame(of(manifests, 'PrometheusRule')[0]?.spec, parse(rulesText))
  const [map] = of(manifests, 'ConfigMap') as unknown as Array<{ data: Record<string, string> }>
  t.strictSame(JSON.parse(map?.data['navis-keys.json'] ?? ''), dashboard)
})

t.test('the dashboard: panels that do not lie on each other, each explained, and queries that Prometheus can read', async (t) => {
  t.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length)
  t.same(dashboard.panels.filter(({ type, description = '' }) => type !== 'row' && !description.endsWith('.')), [])
  t.same(dashboard.panels.filter(({ gridPos: { x, w } }) => x + w > 24), [])
  const overlap = ({ gridPos: a }: Panel, { gridPos: b }: Panel) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h
  t.same(dashboard.panels.flatMap((one, i) => dashboard.panels.slice(i + 1).filter((other) => overlap(one, other)).map(({ title }) => [one.title, title])), [])
  const folder = mkdtempSync(join(tmpdir(), 'navis-dashboard-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  const file = join(folder, 'queries.yaml')
  const rules = queries.map(({ expr }, i) => ({ record: `panel:${i}`, expr: expr.replaceAll('$__rate_interval', '2m') }))
  writeFileSync(file, stringify({ groups: [{ name: 'dashboard', rules }] }))
  const { status, stdout, stderr } = spawnSync(requireProgram('promtool'), ['check', 'rules', file], { encoding: 'utf8' })
  t.equal(status, 0, stdout + stderr)
  const variables = new Set(['__rate_interval', ...dashboard.templating.list.map(({ name }) => name)])
  const used = new Set([...dashboardText.matchAll(/\$\{?(\w+)/g)].map(([, name = '']) => name))
  t.same([...used].filter((name) => !variables.has(name) && name !== '__all'), [])
})
