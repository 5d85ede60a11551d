import t from 'tap'
import { OverBudgetQueue } from '../../src/core/over-budget-queue.ts'

t.test('a round takes so many of a network and so many of all; the next one takes as many again, together', async (t) => {
  const trickle = new OverBudgetQueue({ everyMs: 1, perNetworkMax: 2, perRoundMax: 3 })
  for (let round = 0; round < 2; round++) {
    let gone = 0
    const join = (ip: string) => trickle.join({ ip })?.then(() => { gone++ })
    const joined = [join('192.0.2.1'), join('192.0.2.1')]
    t.equal(join('192.0.2.1'), undefined, 'the network has its share')
    joined.push(join('192.0.2.2'))
    t.equal(join('192.0.2.3'), undefined, 'the round is full')
    t.ok(joined.every((place) => place !== undefined))
    t.equal(gone, 0)
    await joined[0]
    await joined[2]
    t.equal(gone, 3, 'all in one turn')
  }
})

t.test('what nobody waits for goes with the same round, so many of a network', async (t) => {
  const queue = new OverBudgetQueue({ everyMs: 1, perNetworkMax: 1, behindPerNetworkMax: 2 })
  for (let round = 0; round < 2; round++) {
    const gone: string[] = []
    for (const name of ['a', 'b', 'c']) queue.lookUpBehind({ ip: '192.0.2.1' }, () => { gone.push(name) })
    queue.lookUpBehind({ ip: '192.0.2.2' }, () => { gone.push('d') })
    await queue.join({ ip: '192.0.2.1' })
    t.strictSame(gone, ['a', 'b', 'd'])
  }
})
