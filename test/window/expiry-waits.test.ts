import t from 'tap'
import { freshDatabase, freshRedis } from '../support/servers.ts'
import { until } from '../support/until.ts'
import { Links } from '../torture/links.ts'
import { secondSecret, startReplica, warm } from './replicas.ts'

t.setTimeout(180_000)

// The window of the replica that is cut off must still be open after several requests of a busy machine, and the expiries in the future.
const windowMs = 9000
const soon = (ms: number) => new Date(Date.now() + ms).toISOString()
const portOf = (url: string) => Number(new URL(url).port)
const through = (url: string, port: number) => Object.assign(new URL(url), { port: String(port) }).href

const [databaseUrl, redisUrl] = [await freshDatabase(t), await freshRedis(t)]
const carrier = new Links()
t.teardown(() => { carrier.close() })
const links = await Promise.all([databaseUrl, redisUrl].map(async (url) => await carrier.open(portOf(url))))
const [a, b, c] = await Promise.all([
  startReplica(t, { databaseUrl, redisUrl, windowMs }),
  startReplica(t, { databaseUrl: through(databaseUrl, links[0]!.port), redisUrl: through(redisUrl, links[1]!.port), windowMs }),
  startReplica(t, { databaseUrl, redisUrl, windowMs })
])

t.test('an expiry that was brought forward and given up is waited for by its repeat, by a later one of a second administrator, and after the death of the replica that was asked', async (t) => {
  const [repeated, later, elsewhere, named, endless, witness] = await a.createMany(6)
  await warm([a, b, c], [repeated!, later!, elsewhere!, named!, endless!, witness!])
  for (const link of links) await link.hold()
  const sooner = soon(5000)
  const [first, second] = await Promise.all([
    a.editGivenUp(repeated!.id, { expires_at: sooner }, 500),
    a.editGivenUp(later!.id, { expires_at: sooner }, 500),
    c.editGivenUp(elsewhere!.id, { expires_at: sooner }, 500)
  ])
  t.strictSame([first, second], ['given up', 'given up'], 'each of the first requests is still waiting')
  await c.child.kill('SIGKILL')
  const returned = async (what: string, answer: Promise<{ status: number }>, expiresAt: string) => {
    t.equal((await answer).status, 200, what)
    t.equal(await b.status(witness!.token), 503, `${what}: the window of the replica that was cut off has ended`)
    await until(() => Date.now() > Date.parse(expiresAt))
  }
  const latest = soon(6000)
  const waits = [
    returned('the repeat', a.edit(repeated!.id, { expires_at: sooner }), sooner),
    returned('the second administrator', a.edit(later!.id, { expires_at: latest }, { bearer: secondSecret }), latest),
    returned('the repeat elsewhere', a.edit(elsewhere!.id, { expires_at: sooner }), sooner)
  ]
  t.equal((await a.edit(named!.id, { name: 'another' })).status, 200)
  t.equal((await a.edit(endless!.id, { expires_at: null })).status, 200)
  t.equal(await b.status(witness!.token), 200, 'a name and an expiry that is taken away did not wait')
  await Promise.all(waits)
  for (const { token } of [repeated!, later!, elsewhere!]) t.equal(await b.status(token), 503)
  for (const link of links) await link.heal()
  await until(async () => await b.status(witness!.token) === 200)
  for (const replica of [a, b]) for (const { token } of [repeated!, later!, elsewhere!]) t.equal(await replica.status(token), 401)
})

// The third replica, which was killed, has been counted out by now.
t.test('with a frozen replica the repeat waits for its window, and when it wakes it accepts nothing that has expired', async (t) => {
  const [key, named, endless] = await a.createMany(3)
  await warm([a, b], [key!, named!, endless!])
  b.freeze()
  let isBack = false
  const sooner = soon(4000)
  t.equal(await a.editGivenUp(key!.id, { expires_at: sooner }, 1000), 'given up')
  const repeat = a.edit(key!.id, { expires_at: sooner }).then(({ status }) => { isBack = true; return status })
  t.equal((await a.edit(named!.id, { name: 'another' })).status, 200)
  t.equal((await a.edit(endless!.id, { expires_at: null })).status, 200)
  t.notOk(isBack, 'a name and an expiry that is taken away return while the repeat waits')
  t.equal(await repeat, 200)
  await until(() => Date.now() > Date.parse(sooner))
  const waking = b.status(key!.token)
  b.thaw()
  t.not(await waking, 200)
  await until(async () => await b.status(named!.token) === 200)
  t.equal(await b.status(key!.token), 401)
})
