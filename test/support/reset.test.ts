import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import t from 'tap'
import { reset } from './reset.ts'
import { until } from './until.ts'

for (const { when, before } of [
  { when: 'open', before: () => {} },
  { when: 'just being ended', before: (socket: Socket) => { socket.end() } },
  { when: 'ended', before: async (socket: Socket) => { await new Promise<void>((resolve) => { socket.end(resolve) }) } }
]) {
  t.test(`a connection that is ${when} closes when it is reset, and the other side sees it`, async (t) => {
    const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const other = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true })
    const [socket] = await once(server, 'connection') as [Socket]
    const errors: unknown[] = []
    socket.on('error', (error) => { errors.push(error) })
    other.on('error', () => {}).resume()
    await before(socket)
    reset(socket)
    await until(() => socket.closed && (other.readableEnded || other.closed), { timeoutMs: 10_000 })
    t.strictSame(errors, [])
    other.destroy()
    server.close()
  })
}
