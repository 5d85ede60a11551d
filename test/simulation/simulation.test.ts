import t from 'tap'
import { isLong } from '../support/long.ts'
import { loadProtocol } from './protocol.ts'
import { simulate } from './simulate.ts'

// Each combination of the sizes of a world that `simulate.ts` draws from the seed is in 60 of them.
const seeds = isLong ? 200 : 60
const steps = 200

t.test(`in ${seeds} worlds of ${steps} steps nothing that a returned change took away is accepted, and every change returns`, async (t) => {
  const figures = { fast: 0, slow: 0 }
  const protocol = await loadProtocol()
  for (let seed = 0; seed < seeds; seed++) {
    try {
      simulate(seed, { protocol, steps, figures })
    } catch (error) {
      t.comment(`Again: npm run simulate -- --seed ${seed} --steps ${steps}`)
      throw error
    }
  }
  t.comment(`${figures.fast} changes returned by the fast path, ${figures.slow} by the slow one`)
  t.ok(figures.fast > seeds, 'the fast path is walked in these worlds')
  t.ok(figures.slow > seeds, 'and so is the slow one')
})
