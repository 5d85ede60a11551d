import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import t from 'tap'
import { isOutage } from '../../src/db/outage.ts'
import { freePort } from '../support/server-process.ts'

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

t.test('a statement that is wrong is no outage', async (t) => {
  t.equal(isOutage(wrapped(Object.assign(new Error('relation "keys" does not exist'), { code: '42P01' }))), false)
  t.equal(isOutage(new TypeError('undefined is not a function')), false)
})
