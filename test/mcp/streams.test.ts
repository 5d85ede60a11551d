import { test, type Test } from 'tap'
import type { ServerResponse } from 'node:http'
import { startGateway } from '../support/gateway.ts'
import { recordingUpstream } from '../support/recording-upstream.ts'
import { freshDatabase, until } from '../support/servers.ts'

interface Stream {
  /** What has arrived, and whether it has ended. */
  text: string
  hasEnded: boolean
  status: number
}

function listen (url: string, token: string, init: RequestInit = {}): Promise<Stream> {
  return fetch(url, { ...init, headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream', ...init.headers } }).then((response) => {
    const stream: Stream = { text: '', hasEnded: false, status: response.status }
    const reading = async () => {
      for await (const piece of response.body ?? []) stream.text += Buffer.from(piece as Uint8Array).toString()
    }
    reading().catch(() => {}).finally(() => { stream.hasEnded = true })
    return stream
  })
}

async function setup (t: Test, options: Partial<Parameters<typeof startGateway>[1]> = {}) {
  const open: ServerResponse[] = []
  const upstream = await recordingUpstream(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: first\n\n')
    open.push(response)
  })
  const gateway = await startGateway(t, { upstreams: upstream.url, ...options })
  const answering: ServerResponse[] = []
  gateway.app.server.prependListener('request', (_request, response: ServerResponse) => { answering.push(response) })
  return { upstream, gateway, open, isOver: (nth: number) => answering[nth] !== undefined && (answering[nth].destroyed || answering[nth].writableEnded) }
}

test('an open stream ends before the revocation of its key returns, and not a byte comes after', async (t) => {
  const { gateway, open, isOver } = await setup(t)
  const mine = await gateway.mint('mcp:read')
  const other = await gateway.mint('mcp:read')
  const [stream, bystander] = [await listen(gateway.url, mine.token), await listen(gateway.url, other.token)]
  await until(() => stream.text !== '' && bystander.text !== '')
  await mine.revoke()
  t.ok(isOver(0), 'by then')
  for (const response of open) response.write('data: second\n\n')
  await until(() => stream.hasEnded && bystander.text.includes('second'))
  t.equal(stream.text, 'data: first\n\n')
  await until(() => open[0]?.destroyed)
  t.notOk(bystander.hasEnded)
  t.match(gateway.reports, [{ key_id: mine.key.id, decision: 'cut' }])
})

test('what was written to a client that does not read is not delivered after the revocation', async (t) => {
  const { gateway, open } = await setup(t)
  const { token, revoke } = await gateway.mint('mcp:read')
  const response = await fetch(gateway.url, { headers: { authorization: `Bearer ${token}` } })
  await until(() => open.length === 1)
  // More than the sockets between hold, so that some of it waits in the gateway.
  const pieces = 200
  for (let i = 0; i < pieces; i++) open[0]?.write(`data: ${'x'.repeat(100_000)}\n\n`)
  await until(() => (open[0]?.writableLength ?? 0) > 0)
  await revoke()
  let read = 0
  await t.rejects((async () => { for await (const piece of response.body ?? []) read += piece.length })())
  t.ok(read < pieces * 100_000)
})

test('revoking a whole workspace ends its streams before it returns', async (t) => {
  const { gateway, isOver } = await setup(t)
  const { token } = await gateway.mint('mcp:read', { workspaceId: 'ws-2' })
  const other = await gateway.mint('mcp:read')
  const [stream, bystander] = [await listen(gateway.url, token), await listen(gateway.url, other.token)]
  await gateway.keys.service.revokeWorkspace({ workspaceId: 'ws-2', actor: 'test' })
  t.ok(isOver(0), 'by then')
  await until(() => stream.hasEnded)
  t.notOk(bystander.hasEnded)
})

test('a revocation at another replica ends the streams here before it returns there', async (t) => {
  const databaseUrl = await freshDatabase(t)
  const here = await setup(t, { databaseUrl })
  const there = await setup(t, { databaseUrl })
  const { token, key } = await here.gateway.mint('mcp:read')
  const stream = await listen(here.gateway.url, token)
  await until(() => stream.text !== '')
  await there.gateway.keys.service.revoke({ workspaceId: 'ws-1', keyId: key.id, actor: 'test' })
  t.ok(here.isOver(0), 'by then')
  here.open[0]?.write('data: second\n\n')
  await until(() => stream.hasEnded)
  t.equal(stream.text, 'data: first\n\n')
})

test('a call that the upstream has not answered yet is refused when its key is revoked, and cancelled', async (t) => {
  let closed = false
  let heard = false
  const upstream = await recordingUpstream(t, (_request, response) => {
    heard = true
    response.once('close', () => { closed = true })
  })
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const { token, revoke } = await gateway.mint('mcp:read')
  const answer = fetch(gateway.url, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: '{"jsonrpc":"2.0","id":3,"method":"ping"}' })
  await until(() => heard)
  await revoke()
  const response = await answer
  t.equal(response.status, 401)
  t.match(await response.json(), { id: 3, error: { data: { code: 'revoked' } } })
  await until(() => closed)
})

test('a stream ends when its key expires, though nothing passes', async (t) => {
  const { gateway } = await setup(t)
  const expiresAt = Date.now() + 3000
  const { token } = await gateway.mint('mcp:read', { expiresAt })
  const stream = await listen(gateway.url, token)
  await until(() => stream.text !== '')
  await until(() => stream.hasEnded)
  t.ok(Date.now() - expiresAt > -200)
})

test('a stream ends at an expiry that was brought forward while it was open', async (t) => {
  const { gateway } = await setup(t)
  const { token, key } = await gateway.mint('mcp:read', { expiresAt: Date.now() + 3_600_000 })
  const stream = await listen(gateway.url, token)
  await until(() => stream.text !== '')
  await gateway.keys.service.update({ workspaceId: 'ws-1', keyId: key.id, actor: 'test', expiresAt: Date.now() + 2000 })
  await until(() => stream.hasEnded)
  t.pass()
})

test('renaming a key leaves its streams open', async (t) => {
  const { gateway, open } = await setup(t)
  const { token, key } = await gateway.mint('mcp:read')
  const stream = await listen(gateway.url, token)
  await until(() => stream.text !== '')
  await gateway.keys.service.update({ workspaceId: 'ws-1', keyId: key.id, actor: 'test', name: 'renamed' })
  open[0]?.write('data: second\n\n')
  await until(() => stream.text.includes('second'))
  t.notOk(stream.hasEnded)
})

test('nothing passes through a stream while nothing is known of its key', async (t) => {
  const { gateway, open } = await setup(t)
  const { token } = await gateway.mint('mcp:read')
  const stream = await listen(gateway.url, token)
  await until(() => stream.text !== '')
  await gateway.keys.window.leave()
  open[0]?.write('data: second\n\n')
  await until(() => stream.hasEnded)
  t.equal(stream.text, 'data: first\n\n')
})

test('closing the service ends its streams and lets other calls finish', async (t) => {
  let finish = () => {}
  const upstream = await recordingUpstream(t, (request, response) => {
    if (request.method === 'GET') response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: first\n\n')
    else finish = () => { response.setHeader('content-type', 'application/json').end('{}') }
  })
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const { token } = await gateway.mint('mcp:read')
  const stream = await listen(gateway.url, token)
  const call = fetch(gateway.url, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', connection: 'close' }, body: '{"jsonrpc":"2.0","id":3,"method":"ping"}' })
  await until(() => stream.text !== '' && upstream.received.length === 2)
  const closed = gateway.app.close()
  await until(() => stream.hasEnded)
  finish()
  t.equal((await call).status, 200)
  await closed
})

test('an answer of 50 MB waits at the upstream for a client that is slow, and then arrives whole', async (t) => {
  const piece = Buffer.alloc(64 * 1024, 'x')
  const pieces = 800
  let left = pieces
  const upstream = await recordingUpstream(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const write = () => {
      while (left > 0) {
        left--
        if (!response.write(piece)) return response.once('drain', write)
      }
      return response.end()
    }
    write()
  })
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const { token } = await gateway.mint('mcp:read')
  const response = await fetch(gateway.url, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: '{"jsonrpc":"2.0","id":3,"method":"ping"}' })
  let seen = left
  let same = 0
  await until(() => {
    same = seen === left ? same + 1 : 0
    seen = left
    return same > 10
  })
  const underWay = (pieces - left) * piece.length
  t.ok(underWay < 25 * 1024 * 1024, `${Math.round(underWay / 1024 / 1024)} MiB under way, nearly all of it in the sockets`)
  let read = 0
  for await (const chunk of response.body ?? []) read += chunk.length
  t.equal(read, pieces * piece.length)
})
