import t from 'tap'
import { clientNetwork } from '../../src/core/client-network.ts'
import { MissBudget } from '../../src/core/miss-budget.ts'

t.test('whom a budget is counted against', async (t) => {
  const cases = [
    { address: '192.0.2.1', network: '192.0.2.1' },
    { address: '::ffff:192.0.2.1', network: '192.0.2.1' },
    { address: '2001:db8:1:2:3:4:5:6', network: '2001:db8:1:2::/64' },
    { address: '2001:0DB8:0001:0002::9', network: '2001:db8:1:2::/64' },
    { address: '2001:db8::1', network: '2001:db8:0:0::/64' },
    { address: '::1', network: '0:0:0:0::/64' },
    { address: 'fe80::1%eth0', network: 'fe80:0:0:0::/64' },
    { address: '64:ff9b::192.0.2.1', network: '64:ff9b:0:0::/64' },
    { address: 'not:an:address', network: 'not:an:address' },
    { address: '', network: '' }
  ]
  for (const { address, network } of cases) t.equal(clientNetwork(address), network, address)
})

t.test('a budget is used up, comes back at its pace and never beyond itself; what was known is given back', async (t) => {
  const time = { now: 0 }
  const budget = new MissBudget({ clock: { monotonicMs: () => time.now }, perMinute: 60 })
  const client = { ip: '192.0.2.1' }
  for (let i = 0; i < 60; i++) t.equal(budget.take(client), 0)
  t.equal(budget.take(client), 1000)
  t.equal(budget.take({ ip: '192.0.2.2' }), 0)
  budget.giveBack(client)
  t.equal(budget.take(client), 0)
  time.now = 1000
  t.equal(budget.take(client), 0)
  t.ok(budget.take(client) > 0)
  time.now = 3_600_000
  for (let i = 0; i < 60; i++) budget.take(client)
  t.ok(budget.take(client) > 0, 'an idle hour saves nothing up')
  const service = { ip: '192.0.2.1', speaksFor: 10 }
  for (let i = 0; i < 600; i++) t.equal(budget.take(service), 0)
  t.ok(budget.take(service) > 0, 'a service has the budget of the clients it speaks for, apart from its own')
})

t.test('networks are forgotten, the longest unseen first, beyond the bound', async (t) => {
  const budget = new MissBudget({ clock: { monotonicMs: () => 0 }, perMinute: 1, networksMax: 2 })
  const [a, b, c] = [{ ip: 'a' }, { ip: 'b' }, { ip: 'c' }]
  budget.take(a); budget.take(b); budget.take(a); budget.take(c)
  t.equal(budget.size, 2)
  t.ok(budget.take(a) > 0, 'seen lately, remembered')
  t.equal(budget.take(b), 0, 'forgotten, begins anew')
})
