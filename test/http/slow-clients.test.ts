import { connect, type AddressInfo, type Socket } from 'node:net'
import t from 'tap'
import { management, setupApp } from '../routes/setup.ts'
import { until } from '../support/until.ts'

const drip = 500

/** A client that sends a byte now and then, for as long as it may, and ignores that the other side has ended. */
function slowClient (port: number, head: string): { socket: Socket, heard: () => string, stop: () => void } {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  let heard = ''
  socket.on('data', (chunk) => { heard += String(chunk) })
  socket.on('error', () => {})
  socket.write(head)
  const timer = setInterval(() => { socket.write('x') }, drip)
  return { socket, heard: () => heard, stop: () => { clearInterval(timer); socket.destroy() } }
}

t.test('headers and bodies that do not arrive within 15 seconds are answered 408, and the connections are gone whatever their clients do', async (t) => {
  const { app } = await setupApp(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const post = 'POST /v1/workspaces/w/keys HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9000\r\nAuthorization: Bearer '
  const clients = [
    slowClient(port, 'GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: '),
    slowClient(port, `${post}${management}\r\n\r\n`),
    slowClient(port, `${post}${'x'.repeat(43)}\r\n\r\n`)
  ]
  t.teardown(() => { for (const { stop } of clients) stop() })
  const held = async () => await new Promise<number>((resolve) => { app.server.getConnections((_error, count) => { resolve(count) }) })
  await until(async () => await held() === 3)
  await until(async () => await held() === 0)
  t.match(clients[0]!.heard(), /^HTTP\/1\.1 408 [^]*"code":"request_timeout"/)
  t.match(clients[1]!.heard(), /^HTTP\/1\.1 408 [^]*"code":"request_timeout"/)
  t.match(clients[2]!.heard(), /^HTTP\/1\.1 401 /)
})
