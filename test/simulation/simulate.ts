import * as fc from 'fast-check'
import { doSomething } from './faults.ts'
import type { Mistakes } from './model-postgres.ts'
import type { Protocol } from './protocol.ts'
import { Violation, World } from './world.ts'

export interface Figures {
  fast: number
  slow: number
}

export interface SimulateOptions {
  readonly protocol: Protocol
  readonly steps: number
  readonly mistakes?: Mistakes | undefined
  readonly figures?: Figures
}

/** Runs the world of one seed; throws, with the seed and the shortest run that fast-check finds, if the promise breaks in it. */
export function simulate (seed: number, options: SimulateOptions): void {
  const choices = fc.array(fc.nat({ max: 2 ** 30 }), { minLength: options.steps, maxLength: options.steps })
  fc.assert(fc.property(fc.noBias(choices), (choices) => { run(seed, choices, options) }), { seed, numRuns: 1, endOnFailure: false })
}

/** The same without looking for the shortest run: how the promise breaks, if it does. */
export function violationIn (seed: number, options: SimulateOptions): string | undefined {
  const world = worldOf(seed, options)
  try {
    for (let i = 0; i < options.steps; i++) doSomething(world, world.draw(2 ** 30))
    world.heal()
    return undefined
  } catch (error) {
    if (error instanceof Violation) return error.message
    throw error
  }
}

function run (seed: number, choices: readonly number[], options: SimulateOptions): void {
  const world = worldOf(seed, options)
  for (const choice of choices) doSomething(world, choice)
  world.heal()
  if (options.figures === undefined) return
  options.figures.fast += world.returns.fast
  options.figures.slow += world.returns.slow
}

function worldOf (seed: number, { protocol, mistakes = {} }: SimulateOptions): World {
  return new World({
    seed,
    protocol,
    mistakes,
    replicas: 3 + seed % 2,
    rowsMax: [2, 4, 100][seed % 3] as number,
    clones: seed % 4 === 3 ? 1 : 0,
    slowness: [1, 1, 1, 10, 30][seed % 5] as number
  })
}
