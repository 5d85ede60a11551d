import { once } from 'node:events'
import { connect, type AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { management, setupApp } from '../routes/setup.ts'

async function setup (t: Test) {
  const { app, ask } = await setupApp(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  /** What comes back for what is sent, piece by piece: each piece follows the answer to the one before. */
  const talk = async (...pieces: string[]): Promise<string> => {
    const socket = connect(port, '127.0.0.1')
    t.teardown(() => { socket.destroy() })
    let heard = ''
    socket.on('data', (chunk) => { heard += String(chunk) })
    for (const piece of pieces) {
      socket.write(piece)
      await once(socket, 'data')
    }
    return heard
  }
  return { ask, talk }
}

const path = '/v1/workspaces/w/keys'
const body = '{"name":"n","scope":"mcp:read"}'

t.test('a body with a doubled member is refused at any depth, and nothing is made', async (t) => {
  const { ask } = await setup(t)
  const rows = [
    { payload: '{"name":"n","scope":"mcp:read","scope":"mcp:write"}', status: 400 },
    { payload: '{"name":"n","scope":"mcp:read","metadata":{"a":"1","a":"2"}}', status: 400 },
    { payload: '{"name":"n","scope":"mcp:read","sc\\u006fpe":"mcp:write"}', status: 400 },
    { payload: '{"name":"a:b,{\\"c\\":1}","scope":"mcp:read","metadata":{"name":"x:y"}}', status: 201 }
  ]
  for (const { payload, status } of rows) {
    const answer = await ask('POST', path, { payload, headers: { 'content-type': 'application/json' } })
    t.equal(answer.status, status, payload)
    if (status === 400) t.match(answer.body, { code: 'invalid_request', detail: /same field twice/ })
  }
  t.equal((await ask('GET', path)).body.keys.length, 1)
})

t.test('two Host headers are refused', async (t) => {
  const { talk } = await setup(t)
  t.match(await talk('GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'), /^HTTP\/1\.1 400 [^]*more than one Host header/)
  t.match(await talk('GET /livez HTTP/1.1\r\nHost: a\r\n\r\n'), /^HTTP\/1\.1 200 /)
})

t.test('a client that waits for 100 Continue is asked for its body when its credential is good, and only then', async (t) => {
  const { talk } = await setup(t)
  const head = (token: string) => [`POST ${path} HTTP/1.1`, 'Host: a', `Authorization: Bearer ${token}`, 'Content-Type: application/json', `Content-Length: ${body.length}`, 'Expect: 100-continue', '', ''].join('\r\n')
  const refused = await talk(head('x'.repeat(43)))
  t.match(refused, /^HTTP\/1\.1 401 [^]*connection: close/i)
  t.notMatch(refused, '100 Continue')
  t.match(await talk(head(management), body), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 201 [^]*connection: keep-alive/i)
})
