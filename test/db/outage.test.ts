import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import postgres from 'postgres'
import t from 'tap'
import { HistoryChoice, isUntold } from '../../src/db/history.ts'
import { isAway, isOutage } from '../../src/db/outage.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { connect as connectDatabase } from '../../src/db/connect.ts'
import { freePort } from '../support/server-process.ts'
import { freshDatabase, startPostgres } from '../support/servers.ts'

/** As the query layer hands them on: the driver's error is the cause. */
const wrapped = (cause: unknown) => new Error('A query failed.', { cause })

/** What a write on this socket fails with. */
async function failureOf (write: (done: (error?: Error | null) => void) => void): Promise<Error> {
  return await new Promise((resolve, reject) => {
    write((error) => { if (error instanceof Error) resolve(error); else reject(new Error('The write did not fail.')) })
  })
}

t.test('what Node says of a connection that ended under a write is an outage, and nothing internal', async (t) => {
  const server = createServer((socket) => { socket.on('error', () => {}).resume() }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  const { port } = server.address() as AddressInfo
  const socket = () => connect(port, '127.0.0.1').on('error', () => {})

  const destroyed = socket()
  await once(destroyed, 'connect')
  destroyed.destroy()
  const ended = socket()
  await once(ended, 'connect')
  ended.end()
  const refused = connect(await freePort(), '127.0.0.1').on('error', () => {})
  const failures = await Promise.all([
    failureOf((done) => { destroyed.write('x', done) }),
    failureOf((done) => { ended.write('x', done) }),
    failureOf((done) => { refused.write('x', done) })
  ])
  for (const failure of failures) t.equal(isOutage(wrapped(failure)), true, `${failure.message} ${'code' in failure ? failure.code : ''}`)
})

t.test('a place of the pool whose connections were refused, or closed at once, answers as soon as the server is there', { timeout: 60_000 }, async (t) => {
  const server = await startPostgres(t)
  const { port } = new URL(server.url)
  // A server that is not ready closes connections before they have begun.
  const closing = createServer((socket) => { socket.on('error', () => {}).destroy() })
  t.teardown(() => { closing.close() })
  const { sql, close } = connectDatabase({ url: server.url, max: 1 })
  t.teardown(() => close())
  const answered = async () => await Promise.race([sql`select 1`.then(() => 'yes', (error: { code: string }) => error.code), setTimeout(1000, 'nothing', { ref: false })])
  t.equal(await answered(), 'yes')
  for (const away of ['refused', 'closed', 'refused']) {
    await server.stop()
    if (away === 'closed') await once(closing.listen(Number(port), '127.0.0.1'), 'listening')
    // Where connections are closed at once, the driver tries again and again, and the statement waits.
    for (let i = 0; i < 4; i++) t.match(await answered(), away === 'closed' ? /^(nothing|ECONNRESET|CONNECTION_CLOSED)$/ : /^ECONNREFUSED$/, away)
    if (closing.listening) await once(closing.close(), 'close')
    await server.start()
    for (let i = 0; i < 3; i++) t.equal(await answered(), 'yes', `after they were ${away}`)
  }
})

t.test('a statement that is wrong is no outage', async (t) => {
  t.equal(isOutage(wrapped(Object.assign(new Error('relation "keys" does not exist'), { code: '42P01' }))), false)
  t.equal(isOutage(new TypeError('undefined is not a function')), false)
})

/** What a database says to those who connect after `statements`, which `undo` takes back. */
const refusals = [
  { name: 'it takes no connections just now', code: '55000', isOutage: true, close: (name: string) => `alter database ${name} allow_connections false`, open: (name: string) => `alter database ${name} allow_connections true` },
  { name: 'the role may no longer connect', code: '42501', isOutage: false, close: (name: string) => `revoke connect on database ${name} from public`, open: (name: string) => `grant connect on database ${name} to public` },
  { name: 'it has another name', code: '3D000', isOutage: false, close: (name: string) => `alter database ${name} rename to ${name}_away`, open: (name: string) => `alter database ${name}_away rename to ${name}` }
]

for (const { name, code, isOutage: isOutageAtStart, close, open } of refusals) {
  t.test(`a connection that a database refuses says nothing of what the database can tell: ${name}`, async (t) => {
    const url = await freshDatabase(t)
    const database = new URL(url).pathname.slice(1)
    const role = `${database}_runs`
    const admin = postgres(Object.assign(new URL(url), { pathname: '/postgres' }).href, { max: 1, onnotice: () => {} })
    t.teardown(async () => {
      await admin.unsafe(`drop role if exists ${role}`)
      await admin.end()
    })
    await admin.unsafe(`create role ${role} login`)
    const { db, sql } = connectDatabase({ url: Object.assign(new URL(url), { username: role, password: '' }).href, max: 1 })
    t.teardown(async () => { await sql.end() })
    const choice = new HistoryChoice(silentLogger)
    await admin.unsafe(close(database))
    const error: unknown = await choice.choose(db).then(() => 'chosen', (error: unknown) => error)
    t.match(error, { cause: { code, severity: 'FATAL' } })
    t.strictSame({ isUntold: isUntold(error), isAway: isAway(error), isOutage: isOutage(error) }, { isUntold: false, isAway: true, isOutage: isOutageAtStart })
    await admin.unsafe(open(database))
    const before = choice.strategy
    await choice.choose(db).catch(() => choice.choose(db))
    t.equal(choice.strategy.serverStart, before.serverStart, 'as it was')
  })
}
