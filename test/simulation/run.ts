import { parseArgs } from 'node:util'
import { loadProtocol } from './protocol.ts'
import { simulate } from './simulate.ts'

/*
 * npm run simulate -- --seeds 100000 --steps 200      worlds from seed 0 on
 * npm run simulate -- --seed 4711                     that world alone
 * Ends with status 1 at the first world in which the promise breaks, and says how to see it again.
 */
const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '2000' }, steps: { type: 'string', default: '200' }, seed: { type: 'string' } }
})
const steps = Number(values.steps)
const first = Number(values.seed ?? 0)
const count = values.seed === undefined ? Number(values.seeds) : 1
const figures = { fast: 0, slow: 0 }
const protocol = await loadProtocol()
const startedAt = performance.now()

for (let seed = first; seed < first + count; seed++) {
  try {
    simulate(seed, { protocol, steps, figures })
  } catch (error) {
    console.error(error)
    console.error(`The promise broke in seed ${seed}. Again: npm run simulate -- --seed ${seed} --steps ${steps}`)
    process.exit(1)
  }
  if ((seed + 1 - first) % 5000 === 0) console.log(`${seed + 1 - first} worlds`)
}

const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
console.log(`${count} worlds of ${steps} steps in ${seconds} s: ${figures.fast + figures.slow} changes returned, ${figures.fast} fast, ${figures.slow} slow; 0 stale accepts`)
