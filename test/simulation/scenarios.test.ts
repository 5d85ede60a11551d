import t from 'tap'
import { allGuards } from '../../src/core/window/guards.ts'
import { scenarios, tell, type Scenario } from './scenarios.ts'
import { Violation, World } from './world.ts'

const seeds = [1, 2, 3, 4, 5]

function worldOf ({ world = {}, without }: Scenario, { mutated, seed }: { mutated: boolean, seed: number }): World {
  const base = { seed, replicas: 2, ...world }
  if (!mutated) return new World(base)
  return new World(typeof without === 'string' ? { ...base, guards: { ...allGuards, [without]: false } } : { ...base, ...without })
}

function violationOf (scenario: Scenario, options: { mutated: boolean, seed: number }): string | undefined {
  try {
    tell(scenario, worldOf(scenario, options))
  } catch (error) {
    if (error instanceof Violation) return error.message
    throw error
  }
}

for (const scenario of scenarios) {
  t.test(`the promise holds: ${scenario.name}`, async (t) => {
    for (const seed of seeds) t.equal(violationOf(scenario, { mutated: false, seed }), undefined)
  })

  t.test(`the promise would break without the guard: ${scenario.name}`, async (t) => {
    for (const seed of seeds) t.match(violationOf(scenario, { mutated: true, seed }), /accepted|lost/)
  })
}
