import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net'
import { test, type Test } from 'tap'
import { startGateway } from '../support/gateway.ts'
import { recordingUpstream } from '../support/recording-upstream.ts'
import { until } from '../support/servers.ts'

const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
const call = JSON.stringify({ jsonrpc: '2.0', id: 5, method: 'tools/call', params: { name: 'set' } })

async function post (url: string, token: string, body = call, more: Record<string, string> = {}) {
  const response = await fetch(url, { method: 'POST', headers: { ...headers, authorization: `Bearer ${token}`, ...more }, body })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, json: text === '' ? undefined : JSON.parse(text) }
}

/** Answers each request, read to its end, with bytes as they are given, and counts them. */
async function rawUpstream (t: Test, answer: (socket: Socket) => void) {
  let heard = 0
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    let begun = ''
    socket.on('data', (piece) => {
      begun += piece.toString('latin1')
      if (!begun.endsWith('}')) return
      begun = ''
      heard++
      answer(socket)
    })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => { server.close(resolve) })
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`, heard: () => heard }
}

const json = '{"jsonrpc":"2.0","id":5,"result":{}}'
const answered = (head: string, body = json) => `HTTP/1.1 ${head}\r\ncontent-length: ${body.length}\r\n\r\n${body}`
const typed = 'content-type: application/json'

const lost: ReadonlyArray<{ when: string, answer: (socket: Socket) => void, cause: string, says: RegExp }> = [
  { when: 'it drops the connection', answer: (socket) => { socket.destroy() }, cause: 'closed', says: /closed the connection before it had answered/ },
  { when: 'it drops the connection behind headers that name no type', answer: (socket) => { socket.write('HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n', () => { socket.destroy() }) }, cause: 'closed', says: /closed the connection before it had answered/ },
  { when: 'it resets the connection', answer: (socket) => { socket.resetAndDestroy() }, cause: 'closed', says: /closed the connection before it had answered/ },
  { when: 'it answers with a status of 999', answer: (socket) => { socket.write(answered(`999 Odd\r\n${typed}`)) }, cause: 'status', says: /status that MCP does not use/ },
  { when: 'its headers have 20 KB', answer: (socket) => { socket.write(answered(`200 OK\r\n${typed}\r\nx-large: ${'x'.repeat(20_000)}`)) }, cause: 'malformed', says: /not HTTP/ },
  { when: 'it switches to another protocol', answer: (socket) => { socket.write('HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n') }, cause: 'status', says: /status that MCP does not use/ },
  { when: 'it does not speak HTTP', answer: (socket) => { socket.write('SSH-2.0-x\r\n') }, cause: 'malformed', says: /not HTTP/ },
  { when: 'it answers with a page', answer: (socket) => { socket.write(answered('200 OK\r\ncontent-type: text/html', '<h1>hello</h1>')) }, cause: 'not_mcp', says: /not MCP/ }
]

test('an upstream that heard a call is never told as one that cannot be reached', async (t) => {
  const upstreams = await Promise.all(lost.map(async ({ answer }, i) => ({ name: `u${i}`, ...await rawUpstream(t, answer) })))
  const gateway = await startGateway(t, { upstreams })
  const { token } = await gateway.mint('mcp:write')
  for (const [i, { when, cause, says }] of lost.entries()) {
    const { status, json: told } = await post(`${gateway.url}/u${i}`, token)
    t.equal(status, 502, when)
    t.match(told, { id: 5, error: { message: says, data: { code: 'upstream_failed', reason: cause, sent: true } } }, when)
    t.match(told.error.message, /not known whether the request was carried out: check before you try again/, when)
    t.equal(upstreams[i]?.heard(), 1, `${when}, and is not asked again`)
    await until(() => gateway.reports.length === i + 1)
    t.match(gateway.reports.at(-1), { decision: 'upstream_failed', cause }, when)
    t.match(gateway.app.mcpUpstreams()[i], { state: 'failing', cause }, when)
  }
})

test('an upstream that sends headers without a type, and then nothing, is given up in time', async (t) => {
  const upstream = await rawUpstream(t, (socket) => { socket.write('HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n') })
  const gateway = await startGateway(t, { upstreams: upstream.url, answerTimeoutMs: 200 })
  const { token } = await gateway.mint('mcp:write')
  const { status, json: told } = await post(gateway.url, token)
  t.equal(status, 504)
  t.match(told, { id: 5, error: { message: /did not answer in time.*not known whether/, data: { code: 'upstream_timeout', sent: true } } })
})

test('what was certainly not sent is told so, with its cause in the log', async (t) => {
  const closed = await recordingUpstream(t)
  await new Promise((resolve) => { closed.server.close(resolve) })
  const gateway = await startGateway(t, { upstreams: [{ name: 'closed', url: closed.url }, { name: 'nowhere', url: 'http://no-such-host.invalid/mcp' }] })
  const { token } = await gateway.mint('mcp:write')
  t.match((await post(`${gateway.url}/closed`, token)).json, { error: { message: /accepts no connections.*trying again is safe/, data: { code: 'upstream_unreachable', reason: 'refused', sent: false } } })
  t.match((await post(`${gateway.url}/nowhere`, token)).json, { error: { message: /name is not found/, data: { reason: 'dns', sent: false } } })
  await until(() => gateway.reports.length === 2)
  t.match(gateway.reports, [{ upstream: 'closed', cause: 'refused', cause_code: 'ECONNREFUSED' }, { upstream: 'nowhere', cause: 'dns' }])
  t.match(gateway.lines.join(''), /"upstream":"closed","cause":"refused","cause_code":"ECONNREFUSED","msg":"the MCP upstream failed"/)
})

test('an upstream that is well again is told as such', async (t) => {
  let fails = true
  const upstream = await rawUpstream(t, (socket) => { if (fails) socket.destroy(); else socket.write(answered(`200 OK\r\n${typed}`)) })
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const { token } = await gateway.mint('mcp:write')
  t.match(gateway.app.mcpUpstreams(), [{ name: 'default', state: 'unknown' }])
  t.equal((await post(gateway.url, token)).status, 502)
  fails = false
  t.equal((await post(gateway.url, token)).status, 200)
  t.strictSame(gateway.app.mcpUpstreams(), [{ name: 'default', state: 'up', cause: undefined }])
})

test('no call is lost to an upstream that closes connections which were not used for 2 seconds', async (t) => {
  const upstream = await rawUpstream(t, (socket) => {
    socket.setTimeout(2000, () => { socket.destroy() })
    socket.write(answered(`200 OK\r\n${typed}`))
  })
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const { token } = await gateway.mint('mcp:write')
  // Each caller comes back at the very moment at which the upstream closes, give or take.
  const statuses = await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    const first = await post(gateway.url, token)
    await new Promise((resolve) => { setTimeout(resolve, 1990 + i) })
    return [first.status, (await post(gateway.url, token)).status]
  }))
  t.strictSame(new Set(statuses.flat()), new Set([200]))
})

test('a 100 Continue is no answer, and a body without a Content-Type is not dropped', async (t) => {
  const upstream = await rawUpstream(t, (socket) => { socket.write(`HTTP/1.1 100 Continue\r\n\r\n${answered('200 OK')}`) })
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const { token } = await gateway.mint('mcp:write')
  const answer = await post(gateway.url, token)
  t.match(answer, { status: 200, text: json })
  t.equal(answer.headers.get('content-type'), 'application/json')
})

test('what a refusal of the upstream says is passed on, with its Retry-After, and is no refusal of the gateway', async (t) => {
  const upstream = await recordingUpstream(t, ({ body }, response) => {
    const { method } = JSON.parse(body) as { method: string }
    if (method === 'ping') response.writeHead(429, { 'content-type': 'text/plain', 'retry-after': '17' }).end('slow\ndown')
    else if (method === 'tools/list') response.writeHead(403, { 'content-type': 'text/plain' }).end('no such tenant')
    else if (method === 'prompts/list') response.writeHead(503, { 'content-type': 'text/html', 'retry-after': '9' }).end('<h1>busy</h1>')
    else response.writeHead(400, { 'content-type': 'text/plain' }).end(token)
  })
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const { token } = await gateway.mint('mcp:write')
  const ask = async (method: string) => await post(gateway.url, token, JSON.stringify({ jsonrpc: '2.0', id: 5, method }))
  const limited = await ask('ping')
  t.match(limited, { status: 429, json: { error: { message: /status 429: slow down$/, data: { code: 'upstream_refused' } } } })
  t.equal(limited.headers.get('retry-after'), '17')
  t.match(await ask('tools/list'), { status: 403, json: { error: { message: /status 403: no such tenant$/ } } })
  const busy = await ask('prompts/list')
  t.equal(busy.status, 502)
  t.equal(busy.headers.get('retry-after'), '9')
  t.notOk((await ask('resources/list')).text.includes(token), 'never a token, whoever says it')
  await until(() => gateway.reports.length === 4)
  t.strictSame(gateway.reports.map(({ decision }) => decision), ['upstream_refused', 'upstream_refused', 'upstream_failed', 'upstream_refused'])
})

test('a refusal in JSON reaches the client as a JSON-RPC error: unchanged if it is one, otherwise as its text', async (t) => {
  const error = JSON.stringify({ jsonrpc: '2.0', id: 5, error: { code: -32602, message: 'which tenant?', data: { from: 'upstream' } } })
  const upstream = await recordingUpstream(t, ({ body }, response) => {
    const { method } = JSON.parse(body) as { method: string }
    const tell = (status: number, text: string) => { response.writeHead(status, { 'content-type': 'application/json', 'retry-after': '17' }).end(text) }
    if (method === 'ping') tell(400, error)
    else if (method === 'prompts/list') tell(500, error)
    else if (method === 'tools/list') tell(404, '{"message":\n"no such tenant"}')
    else if (method === 'resources/list') tell(503, '{"message":"no healthy upstream"}')
    else {
      response.writeHead(400, { 'content-type': 'application/json', 'content-length': '500' }).write('{"jsonrpc":"2.0"')
      setTimeout(() => { response.destroy() }, 20)
    }
  })
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const { token } = await gateway.mint('mcp:write')
  const ask = async (method: string) => await post(gateway.url, token, JSON.stringify({ jsonrpc: '2.0', id: 5, method }))
  t.match(await ask('ping'), { status: 400, text: error })
  t.match(await ask('prompts/list'), { status: 500, text: error })
  const refused = await ask('tools/list')
  t.match(refused, { status: 404, json: { id: 5, error: { message: /status 404: \{"message": "no such tenant"\}$/, data: { code: 'upstream_refused' } } } })
  t.equal(refused.headers.get('retry-after'), '17')
  const busy = await ask('resources/list')
  t.match(busy, { status: 502, json: { id: 5, error: { data: { code: 'upstream_failed', reason: 'not_mcp' } } } })
  t.equal(busy.headers.get('retry-after'), '17')
  t.match(await ask('resources/templates/list'), { status: 502, json: { id: 5, error: { data: { code: 'upstream_failed', reason: 'closed' } } } })
})

test('an event id is of use to the key alone that it was sent to', async (t) => {
  const upstream = await recordingUpstream(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end('id: result-7\ndata: {"jsonrpc":"2.0","id":5,"result":{}}\n\n')
  })
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const [mine, other] = [await gateway.mint('mcp:write'), await gateway.mint('mcp:write', { workspaceId: 'ws-2' })]
  const [, id = ''] = /^id: (.*)$/m.exec((await fetch(gateway.url, { method: 'POST', headers: { ...headers, authorization: `Bearer ${mine.token}` }, body: call }).then((response) => response.text()))) ?? []
  t.match(id, /^result-7\.[\w-]{22}$/)
  const resume = async (token: string, lastEventId: string) => await fetch(gateway.url, { headers: { authorization: `Bearer ${token}`, 'last-event-id': lastEventId } })
  t.equal((await resume(mine.token, id)).status, 200)
  t.equal(upstream.received.at(-1)?.headers['last-event-id'], 'result-7')
  const count = upstream.received.length
  for (const [token, tried] of [[other.token, id], [mine.token, 'result-7'], [other.token, 'result-7']] as const) {
    const refused = await resume(token, tried)
    t.equal(refused.status, 400)
    t.match(await refused.json(), { error: { data: { code: 'unknown_event' } } })
  }
  t.equal(upstream.received.length, count)
})

test('a client of the older HTTP+SSE transport is told which to choose', async (t) => {
  const upstream = await recordingUpstream(t, (_request, response) => { response.writeHead(405, { 'content-type': 'application/json' }).end('{"jsonrpc":"2.0","error":{"code":-32000,"message":"Method not allowed."},"id":null}') })
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const { token } = await gateway.mint('mcp:read')
  const answer = await fetch(gateway.url, { headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' } })
  t.equal(answer.status, 405)
  t.match(await answer.json(), { error: { message: /choose the transport "http" or "streamable-http"/, data: { code: 'old_transport' } } })
  await until(() => gateway.reports.length > 0)
  t.match(gateway.reports, [{ method: 'http get', decision: 'upstream_refused', status: 405 }], 'it was the server that refused')
})
