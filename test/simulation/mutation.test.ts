import { readFileSync } from 'node:fs'
import t from 'tap'
import { allGuards, type Guards } from '../../src/core/window/guards.ts'
import { scenarios } from './scenarios.ts'
import { violationIn } from './simulate.ts'

interface Row {
  readonly guard: string
  readonly model: string
  readonly caughtBy: string
}

const seedsMax = 500
const root = new URL('../../', import.meta.url)
const table = readTable()

/** The table of docs/model/README.md that begins with `| guard |`. */
function readTable (): Row[] {
  const lines = readFileSync(new URL('docs/model/README.md', root), 'utf8').split('\n')
  const start = lines.findIndex((line) => line.startsWith('| guard |'))
  const end = lines.findIndex((line, i) => i > start && !line.startsWith('|'))
  return lines.slice(start + 2, end).map((line) => {
    const [guard = '', model = '', , caughtBy = ''] = line.split('|').slice(1, -1).map((cell) => cell.trim().replaceAll('`', ''))
    return { guard, model, caughtBy }
  })
}

function firstStaleAccept (guard: keyof Guards): string | undefined {
  for (let seed = 0; seed < seedsMax; seed++) {
    const violation = violationIn(seed, { steps: 200, guards: { ...allGuards, [guard]: false } })
    if (violation?.includes('accepted') === true) return violation
  }
  return undefined
}

t.test('the table of guards has each guard once, and no other', async (t) => {
  t.strictSame(table.map((row) => row.guard).sort(), Object.keys(allGuards).sort())
  t.ok(Object.values(allGuards).every(Boolean), 'all of them are on unless a test says otherwise')
})

t.test('the table names the guards as the models do', async (t) => {
  const models = ['win', 'log', 'ha'].map((name) => readFileSync(new URL(`docs/model/${name}.pml`, root), 'utf8')).join('\n')
  for (const { guard, model } of table) {
    if (model !== '') t.match(models, new RegExp(`ifn?def ${model}\\b|defined\\(${model}\\)`), `${guard}: ${model}`)
  }
  const named = new Set([...table.map((row) => row.model), ...scenarios.map((scenario) => scenario.model)])
  const checked = readFileSync(new URL('docs/model/check.sh', root), 'utf8')
  for (const [, name = ''] of checked.matchAll(/\b(M_[A-Z0-9]+)/g)) {
    // Asynchronous commits are a matter of configuration: a database set up so is refused at start.
    if (name !== 'M_ASYNC') t.ok(named.has(name), `${name} has a form in code, or a scenario`)
  }
})

for (const { guard, caughtBy } of table) {
  t.test(`the suite notices when the guard "${guard}" is switched off`, async (t) => {
    if (caughtBy === 'simulation') return t.type(firstStaleAccept(guard as keyof Guards), 'string')
    const name = caughtBy.replace(/^scenario: /, '')
    t.ok(scenarios.some((scenario) => scenario.name === name && scenario.without === guard), `there is a scenario "${name}" without ${guard}`)
  })
}
