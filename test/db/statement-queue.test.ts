import t from 'tap'
import { StatementQueue } from '../../src/db/statement-queue.ts'

t.test('revocations go before changes, changes before lists, and one connection is kept from lists', async (t) => {
  const queue = new StatementQueue({ concurrency: 2 })
  const order: string[] = []
  const first = await queue.enter('read')
  const waiting = (['read', 'change', 'revoke'] as const).map(async (urgency) => {
    const leave = await queue.enter(urgency)
    order.push(urgency)
    await new Promise((resolve) => { setImmediate(resolve) })
    leave()
  })
  await Promise.all(waiting.slice(1))
  t.same(order.slice(0, 2).sort(), ['change', 'revoke'])
  t.equal(queue.length, 1, 'the second list waits although a connection is free')
  first()
  await Promise.all(waiting)
  t.equal(queue.length, 0)
  t.equal(order.at(-1), 'read')

  const busy = [await queue.enter('change'), await queue.enter('change')]
  const late = ['read', 'change', 'revoke'] as const
  const begun: string[] = []
  const entering = late.map(async (urgency) => { (await queue.enter(urgency).then((leave) => { begun.push(urgency); return leave }))() })
  for (const leave of busy) leave()
  await Promise.all(entering)
  t.equal(begun[0], 'revoke', 'whoever came first')
})

t.test('what waits too long, or behind too many, is refused and takes no place', async (t) => {
  const queue = new StatementQueue({ concurrency: 1, waitMs: 20, lengthMax: 1 })
  const leave = await queue.enter('change')
  const waiting = queue.enter('revoke')
  await t.rejects(queue.enter('revoke'), { name: 'QueueFull' })
  await t.rejects(waiting, { name: 'QueueFull' })
  leave()
  ;(await queue.enter('read'))()
})
