import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { guards, type Guard } from './guards.ts'
import { loadProtocol } from './protocol.ts'
import { scenarios, tell, type Scenario } from './scenarios.ts'
import { violationIn } from './simulate.ts'
import { Violation, World } from './world.ts'

interface Row {
  readonly guard: string
  readonly models: string
  readonly caughtBy: string
}

const seedsMax = 300
const root = new URL('../../', import.meta.url)
const table = readTable()

/** The table of docs/model/README.md that begins with `| guard |`. */
function readTable (): Row[] {
  const lines = readFileSync(new URL('docs/model/README.md', root), 'utf8').split('\n')
  const start = lines.findIndex((line) => line.startsWith('| guard |'))
  const end = lines.findIndex((line, i) => i > start && !line.startsWith('|'))
  return lines.slice(start + 2, end).map((line) => {
    const [guard = '', models = '', , caughtBy = ''] = line.split('|').slice(1, -1).map((cell) => cell.trim().replaceAll('`', ''))
    return { guard, models, caughtBy }
  })
}

/** In the world that showed it when the guard was written; failing that, in some other. */
async function staleAcceptWithout (t: Test, { patches, mistakes, seed }: Guard): Promise<string | undefined> {
  const protocol = await loadProtocol(patches)
  const seeds = [...seed === undefined ? [] : [seed], ...Array.from({ length: seedsMax }, (_, i) => i)]
  for (const each of seeds) {
    const violation = violationIn(each, { protocol, mistakes, steps: 200 })
    if (violation?.includes('accepted') !== true) continue
    if (each !== seed) t.comment(`seed ${each} shows it, and ${seed ?? 'none'} is written down: each further world takes time`)
    return violation
  }
  return undefined
}

t.test('the table of guards has each guard once, named as the models name it, and no other', async (t) => {
  t.strictSame(table.map(({ guard, models }) => [guard, models]), guards.map(({ name, models }) => [name, models.join(', ')]))
})

t.test('each mutant of the models has a form in code', async (t) => {
  const checked = readFileSync(new URL('docs/model/check.sh', root), 'utf8')
  const named = new Set(guards.flatMap(({ models }) => models))
  const mutants = new Set([...checked.matchAll(/(?:\b|-D)(M_[A-Z0-9]+)/g)].map(([, name = '']) => name))
  // Asynchronous commits are a matter of configuration: a database that is set up so is refused at start.
  mutants.delete('M_ASYNC')
  t.strictSame([...named].filter((name) => !mutants.has(name)), [], 'nothing is said to be in the models that is not')
  t.strictSame([...mutants].filter((name) => !named.has(name)), [])
})

t.test('a patch that no longer finds its line is an error', async (t) => {
  await t.rejects(loadProtocol([{ file: 'step.ts', find: 'no such line', replace: '' }]), /0 times/)
  await t.rejects(loadProtocol([{ file: 'step.ts', find: 'return', replace: '' }]), /times/)
  await t.rejects(loadProtocol([{ file: 'nowhere.ts', find: '', replace: '' }]), /no nowhere/)
})

for (const guard of guards) {
  const { name } = guard
  const caughtBy = table.find((row) => row.guard === name)?.caughtBy ?? 'nothing'
  t.test(`without "${name}" a key is accepted that a returned change had taken away`, async (t) => {
    if (caughtBy === 'simulation') return t.type(await staleAcceptWithout(t, guard), 'string')
    const stories = scenarios.filter(({ without }) => without === name)
    t.ok(stories.some((one) => `scenario: ${one.name}` === caughtBy), caughtBy)
    const [whole, mutant] = [await loadProtocol(), await loadProtocol(guard.patches)]
    const seeds = [1, 2, 3, 4, 5]
    const told = (scenario: Scenario, seed: number, mutated: boolean): string | undefined => {
      const world = new World({ seed, replicas: 2, ...scenario.world, protocol: mutated ? mutant : whole, mistakes: mutated ? guard.mistakes ?? {} : {} })
      try {
        tell(scenario, world)
      } catch (error) {
        if (error instanceof Violation) return error.message
        throw error
      }
      return undefined
    }
    for (const scenario of stories) {
      for (const seed of seeds) t.equal(told(scenario, seed, false), undefined, `${scenario.name}: with it the promise holds`)
      t.ok(seeds.some((seed) => /accepted|lost|revoked there/.test(told(scenario, seed, true) ?? '')), `${scenario.name}: without it the promise breaks`)
    }
  })
}
