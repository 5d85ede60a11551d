import { setTimeout as sleep } from 'node:timers/promises'
import { createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { until } from '../support/until.ts'
import { Changes } from './changes.ts'
import { Checker, type FindingKind } from './checker.ts'
import { Churn } from './churn.ts'
import { Connection } from './connection.ts'
import { KeyPool } from './key-pool.ts'
import { Latencies, percentiles, waitOf } from './latencies.ts'
import { Ledger } from './ledger.ts'
import { Links } from './links.ts'
import { Load } from './load.ts'
import { Random } from './random.ts'
import { behindLast, Recorder, type Verification } from './recorder.ts'
import { ReplicaClient } from './replica-client.ts'
import { StandIn, StandInStore, type StandInFault } from './stand-in.ts'
import { Troubles } from './troubles.ts'

const verification: Verification = { process: 1, key: 0, sentAt: 100, answeredAt: 110, status: 200, warm: true }

interface Row {
  readonly when: string
  readonly seen: Partial<Verification>
  readonly may?: number
  readonly must?: number
  readonly found?: FindingKind
}

const rows: Row[] = [
  { when: 'a live key is accepted', seen: {} },
  { when: 'an accept was sent after the revoke had returned', seen: {}, may: 50, must: 99.9, found: 'stale accept' },
  { when: 'an accept was sent at the very moment of the return', seen: {}, may: 50, must: 100 },
  { when: 'an accept was sent before the return and answered after it', seen: {}, may: 50, must: 105 },
  { when: 'a revoked key is refused', seen: { status: 401 }, may: 50, must: 60 },
  { when: 'a live key is refused', seen: { status: 401 }, found: 'false refusal' },
  { when: 'a live key is forbidden', seen: { status: 403 }, found: 'false refusal' },
  { when: 'a key is refused before its revoke is sent', seen: { status: 401 }, may: 110.1, must: 200, found: 'false refusal' },
  { when: 'a key is refused while its revoke is under way', seen: { status: 401 }, may: 105, must: 200 },
  { when: 'nothing is broken and it is unavailable', seen: { status: 503 }, found: 'unexcused 503' },
  { when: 'no answer came', seen: { status: 0 }, may: 50, must: 60 },
  { when: 'the service fails', seen: { status: 500 }, found: 'unexpected answer' }
]

t.test('the checker tells what may be from what may not', async (t) => {
  for (const { when, seen, may = Infinity, must = Infinity, found } of rows) {
    const { recorder, ledger, checker } = checked()
    const key = ledger.add({ id: 'a', workspaceId: 'w', token: 'secret' })
    ledger.restricting(key, 'revoke', may)
    ledger.restricted(key, must)
    recorder.add({ ...verification, ...seen })
    t.strictSame(checker.look().findings.map(({ kind }) => kind), found === undefined ? [] : [found], when)
    t.notOk(checker.findings.some(({ text }) => text.includes('secret')), 'no finding holds a token')
  }
})

t.test('a finding tells what the service said, and what was broken last', async (t) => {
  let now = 0
  const troubles = new Troubles(() => now)
  const { recorder, ledger, checker } = checked(troubles)
  ledger.add({ id: 'a', workspaceId: 'w', token: 'secret' })
  const end = troubles.begin({ kind: 'redis', name: 'Redis killed' })
  now = 40
  end()
  recorder.add({ ...verification, sentAt: 1540, answeredAt: 1541, status: 503, said: 'The database does not answer.' })
  recorder.add({ ...verification, sentAt: 1550, answeredAt: 1551, status: 503, said: 'Too many changes.' })
  recorder.add({ ...verification, sentAt: 1560, answeredAt: 1561, status: 500 })
  const [first, second, third] = checker.look().findings.map(({ text }) => text)
  t.match(first, '503 (The database does not answer.) from', 'in its own words')
  t.match(first, 'nothing broken; before: Redis killed, over for 1.5 s')
  t.match(second, '503 (Too many changes.) from')
  t.match(third, ': 500 from', 'nothing is made up where nothing was said')
})

t.test('a 503 is excused only by a trouble that permits it, at that replica and at that time', async (t) => {
  let now = 0
  const troubles = new Troubles(() => now)
  const endOne = troubles.begin({ kind: 'replica', name: 'cut', place: 2, mayBeUnavailable: true })
  troubles.begin({ kind: 'redis', name: 'Redis killed' })
  now = 100
  endOne(50)
  t.ok(troubles.excuses(140, 160, 2))
  t.notOk(troubles.excuses(151, 160, 2), 'over')
  t.notOk(troubles.excuses(140, 160, 1), 'another replica')
  t.equal(troubles.situation(140, 160), 'several at once')
  t.equal(troubles.situation(151, 160), 'Redis away')
})

t.test('the recorder gives back what it was given, beyond its first size', async (t) => {
  const recorder = new Recorder()
  for (let i = 0; i < 70_000; i++) recorder.add({ ...verification, key: i, sentAt: i + 0.25, said: i % 2 === 0 ? 'not now' : undefined })
  t.equal(recorder.size, 70_000)
  t.strictSame(recorder.at(69_998), { ...verification, key: 69_998, sentAt: 69_998.25, said: 'not now' })
  t.strictSame(recorder.at(69_999), { ...verification, key: 69_999, sentAt: 69_999.25, said: undefined })
  t.throws(() => recorder.at(70_000), RangeError)
})

t.test('percentiles are nearest rank', async (t) => {
  t.match(percentiles(Array.from({ length: 200 }, (_, i) => 200 - i)), { count: 200, p50: 100, p99: 198, max: 200 })
  t.match(percentiles([7]), { count: 1, p50: 7, p99: 7, max: 7 })
  t.equal(Math.round(waitOf(10_000)), 10_252)
})

t.test('a connection sends without waiting, and reads answers cut at any byte', async (t) => {
  const answers = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n'
  for (let cut = 1; cut < answers.length; cut += 7) {
    const port = await listen(t, (socket) => {
      socket.write(answers.slice(0, cut))
      setImmediate(() => { socket.end(answers.slice(cut)) })
    })
    const connection = await Connection.open(port)
    const seen: string[] = []
    for (let i = 0; i < 4; i++) connection.send('GET / HTTP/1.1\r\n\r\n', ({ status, body, warm }) => { seen.push(`${status} ${body} ${warm}`) })
    await until(() => seen.length === 4)
    t.strictSame(seen, ['200 hi false', '401 no false', '204  false', '0  false'], `cut at ${cut}: the last is lost, and may have happened`)
  }
})

t.test('what was sent behind an answer that closes its connection is told apart from what was lost', async (t) => {
  const port = await listen(t, (socket) => { socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n') })
  const connection = await Connection.open(port)
  const seen: number[] = []
  connection.sendTogether(Array.from({ length: 3 }, () => ({ text: 'GET / HTTP/1.1\r\n\r\n', onAnswer: ({ status }) => { seen.push(status) } })))
  await until(() => seen.length === 3)
  t.strictSame(seen, [200, behindLast, behindLast])
})

t.test('a replica that takes no more takes nothing of the load away, and half of what is sent is sent together', async (t) => {
  const { ledger } = checked()
  const pool = new KeyPool({ random: new Random(2) })
  pool.addLive(ledger.add({ id: 'a', workspaceId: 'w', token: 'secret' }))
  const asked = { stuck: 0, other: 0 }
  const sent = { alone: 0, together: 0 }
  const client = (verifyOrRepeat: (keys: readonly unknown[]) => boolean) => ({ verifyOrRepeat }) as unknown as ReplicaClient
  const clients = [
    client(() => { asked.stuck++; return false }),
    client((keys) => {
      asked.other++
      sent[keys.length === 1 ? 'alone' : 'together'] += keys.length
      return true
    })
  ]
  const load = new Load({ pool, random: new Random(2), clients: () => clients, perSecond: 50_000 })
  await until(() => asked.other > 5000)
  await load.stop()
  t.ok(asked.stuck > 0.4 * asked.other, 'either may be the first that is asked')
  t.ok(asked.stuck < 0.6 * asked.other, 'and whatever the one does not take, the other does')
  const share = sent.together / (sent.together + sent.alone)
  t.ok(share > 0.4 && share < 0.6, `${share.toFixed(2)}`)
})

t.test('three healthy stand-ins pass', async (t) => {
  const { checker, changes } = await run(t, {}, ({ sentAfterReturn }) => sentAfterReturn > 100)
  t.strictSame(checker.findings.map(({ text }) => text), [])
  t.ok(checker.sentAfterReturn > 100, `${checker.sentAfterReturn} verifications were sent after a return`)
  t.ok(changes.made.revoke > 5 && changes.made.expiry > 0 && changes.made.workspace > 0, 'each way of taking rights away was used')
  t.strictSame(changes.surprises, [])
})

t.test('one replica that remembers accepts is found out', async (t) => {
  const { checker } = await run(t, { remembersMs: 2000 }, ({ counts }) => counts['stale accept'] > 0)
  t.ok(checker.counts['stale accept'] > 0)
  t.ok(checker.findings.filter(({ kind }) => kind === 'stale accept').every(({ place }) => place === 2), 'and only that one')
  t.equal(checker.counts['false refusal'], 0)
})

t.test('one replica that returns before the change is in force is found out', async (t) => {
  const { checker } = await run(t, { returnsEarlyMs: 50 }, ({ counts }) => counts['stale accept'] > 0)
  t.ok(checker.counts['stale accept'] > 0)
})

t.test('one replica that refuses a live key now and then is found out', async (t) => {
  const { checker } = await run(t, { refusesOneIn: 50 }, ({ counts }) => counts['false refusal'] > 0)
  t.ok(checker.counts['false refusal'] > 0)
  t.equal(checker.counts['stale accept'], 0)
})

t.test('one replica that is unavailable now and then is found out', async (t) => {
  const { checker } = await run(t, { unavailableOneIn: 50 }, ({ counts }) => counts['unexcused 503'] > 0)
  t.ok(checker.counts['unexcused 503'] > 0)
})

const links = new Links()
t.teardown(() => { links.close() })

t.test('a link passes, delays, holds and refuses', async (t) => {
  const echo = await listen(t, (socket) => { socket.pipe(socket) })
  const link = await links.open(echo)
  const answer = 'HTTP/1.1 200 OK\r\n\r\n'
  const connection = await Connection.open(link.port)
  const ask = async () => await new Promise<number>((resolve) => { connection.send(answer, ({ status, sentAt, answeredAt }) => { resolve(status === 0 ? -1 : answeredAt - sentAt) }) })
  t.ok(await ask() >= 0)
  await link.delay({ toClientMs: 150 })
  t.ok(await ask() >= 149)
  await link.heal()
  await link.hold()
  const held = ask()
  t.equal(await Promise.race([held, sleep(100, 'held')]), 'held')
  await link.heal()
  t.ok(await held >= 99, 'what was held arrives late')
  await link.refuse()
  t.equal(await ask(), -1)
})

t.test('a link holds the connections that have subscribed, and no others', async (t) => {
  const echo = await listen(t, (socket) => { socket.pipe(socket) })
  const link = await links.open(echo)
  const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n'
  const [subscriber, other] = await Promise.all([Connection.open(link.port), Connection.open(link.port)])
  const ask = async (connection: Connection, text: string) => await new Promise<number>((resolve) => { connection.send(answer + text, ({ status }) => { resolve(status) }) })
  await Promise.all([ask(subscriber, '\r\nsubscribe\r\n'), ask(other, '\r\npublished\r\n')])
  t.equal(await link.holdSubscribers(), 1)
  t.equal(await ask(other, '\r\npublished\r\n'), 200)
  t.equal(await Promise.race([ask(subscriber, '\r\npublished\r\n'), sleep(100, 'held')]), 'held')
  subscriber.close()
  other.close()
})

function checked (troubles = new Troubles(() => performance.now())) {
  const recorder = new Recorder()
  const ledger = new Ledger()
  const checker = new Checker({ recorder, ledger, troubles, placeOf: (process) => process })
  return { recorder, ledger, troubles, checker }
}

/** Three stand-ins, the second of them broken, under the load and the changes of a real run until there is what is looked for. */
async function run (t: Test, fault: StandInFault, isEnough: (checker: Checker) => boolean) {
  const { recorder, ledger, troubles, checker } = checked()
  const random = new Random(1)
  const store = new StandInStore()
  const clients = await Promise.all([1, 2, 3].map(async (place) => {
    const standIn = new StandIn(store, place === 2 ? fault : {})
    const port = await standIn.listen()
    const client = new ReplicaClient({ port, place, process: place, recorder, managementToken: 'none', connections: 4 })
    t.teardown(() => {
      client.close()
      standIn.close()
    })
    return client
  }))
  const pool = new KeyPool({ random })
  const latencies = new Latencies({ slowMs: 1000 })
  const common = { pool, random, clients: () => clients }
  const changes = new Changes({ ...common, ledger, troubles, latencies, windowMs: 1000 })
  const churn = new Churn({ ...common, changes, perSecond: 60, keys: 30, pendingMax: 16 })
  await churn.start()
  const load = new Load({ ...common, perSecond: 600 })
  // Which way is used is left to chance.
  const { made } = changes
  await until(() => made.revoke > 5 && made.expiry > 0 && made.workspace > 0 && isEnough(checker.look()), { timeoutMs: 20_000 }).catch(() => {})
  await churn.stop(5000)
  await load.stop()
  checker.look()
  return { checker, changes }
}

async function listen (t: Test, onSocket: (socket: Socket) => void): Promise<number> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    onSocket(socket)
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}
