import { once } from 'node:events'
import { connect, type AddressInfo, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { management, setupApp } from '../routes/setup.ts'
import { until } from '../support/until.ts'

async function setup (t: Test) {
  const { app, ask, logs } = await setupApp(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const sockets: Socket[] = []
  /** What comes back for what is sent, piece by piece: each piece follows the answer to the one before. */
  const talk = async (...pieces: string[]): Promise<string> => {
    const socket = connect(port, '127.0.0.1')
    sockets.push(socket)
    t.teardown(() => { socket.destroy() })
    let heard = ''
    socket.on('data', (chunk) => { heard += String(chunk) })
    for (const piece of pieces) {
      socket.write(piece)
      await once(socket, 'data')
    }
    return heard
  }
  return { ask, talk, logs, sockets }
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
    if (status === 400) t.match(answer.body, { code: 'invalid_request', detail: /same field twice/, errors: [{ pointer: '' }] })
  }
  for (const payload of ['{', '', Buffer.from([0x22, 0xff, 0x22]), '{"__proto__":1}', `${'['.repeat(40)}${']'.repeat(40)}`]) {
    t.match(await ask('POST', path, { payload, headers: { 'content-type': 'application/json' } }), { status: 400, body: { code: 'invalid_request', errors: [{ pointer: '' }] } }, String(payload))
  }
  t.equal((await ask('GET', path)).body.keys.length, 1)
})

t.test('what Node would refuse by itself gets an answer like every other', async (t) => {
  const { talk } = await setup(t)
  const noHost = await talk('GET /livez HTTP/1.1\r\n\r\n')
  t.match(noHost, /^HTTP\/1\.1 400 [^]*content-type: application\/problem\+json[^]*"detail":"There is no Host header\. Send one\."/i)
  t.match(await talk('GET /livez HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 /, 'HTTP/1.0 has no such header')
  t.match(await talk('GET /livez HTTP/1.1\r\nHost: a\r\nExpect: a-miracle\r\n\r\n'), /^HTTP\/1\.1 200 [^]*"status":"live"/, 'an expectation that is not known is ignored')
})

t.test('a client that goes away while it sends its body is no outage of a store', async (t) => {
  const { talk, logs, sockets } = await setup(t)
  const head = [`POST ${path} HTTP/1.1`, 'Host: a', `Authorization: Bearer ${management}`, 'Content-Type: application/json', 'Content-Length: 40', 'Expect: 100-continue', '', ''].join('\r\n')
  t.match(await talk(head), /^HTTP\/1\.1 100 /)
  const socket = sockets.pop()!
  socket.write('{"name":')
  socket.destroy()
  await until(() => logs.some((line) => line.includes('closed the connection')))
  await new Promise((resolve) => { setImmediate(resolve) })
  t.notMatch(logs.join(''), /"unavailable"|"stack"/)
})

t.test('a list with far too many entries is refused without reading them, so that nobody else waits', async (t) => {
  const { ask } = await setup(t)
  const headers = { 'content-type': 'application/json' }
  const many = `[${'{},'.repeat(340_000)}{}]`
  const before = process.cpuUsage()
  t.match(await ask('POST', '/v1/leaks', { payload: many, headers }), { status: 400, body: { errors: [{ pointer: '', detail: 'Must have at most 1000 entries.' }] } })
  t.match(await ask('POST', `${path}/import`, { payload: `{"keys":${many}}`, headers }), { status: 400, body: { errors: [{ pointer: '/keys', detail: 'Must have at most 1000 entries.' }] } })
  // Processor time, not elapsed time: the machine may be busy. Reading the entries takes several seconds of it.
  const { user } = process.cpuUsage(before)
  t.ok(user < 1_500_000, `${Math.round(user / 1000)} ms`)
})

t.test('an object with far too many fields, or with a very long name of one, is refused before it is parsed, at any depth and on every path', async (t) => {
  const { ask } = await setup(t)
  const headers = { 'content-type': 'application/json' }
  const fields = (count: number) => `{${Array.from({ length: count }, (_, i) => `"${i.toString(36)}":0`).join(',')}}`
  const many = fields(90_000)
  const long = `{"${'/'.repeat(1_000_000)}":0}`
  const before = process.cpuUsage()
  for (const [object, detail] of [[many, /more than 300 fields/], [long, /a name of more than 16384 characters/]] as const) {
    const bodies = [
      [`${path}/import`, object],
      [`${path}/import`, `{"keys":[${object}]}`],
      [`${path}/import`, `{"keys":[{"metadata":${object}}]}`],
      [`${path}/import`, `{"keys":[{"unknown":[[[${object}]]]}]}`],
      ['/v1/leaks', `[${object}]`],
      ['/v1/leaks', object]
    ] as const
    for (const [url, payload] of bodies) t.match(await ask('POST', url, { payload, headers }), { status: 400, body: { code: 'invalid_request', detail } }, `${url} ${payload.slice(0, 40)}`)
  }
  // Processor time, not elapsed time: the machine may be busy. Reading all the fields takes more than two seconds of it.
  const { user } = process.cpuUsage(before)
  t.ok(user < 1_000_000, `${Math.round(user / 1000)} ms`)
  // The other paths take bodies of 16 KiB.
  const short = fields(301)
  for (const url of [path, '/v1/verify', `${path}/revoke-all`]) t.match(await ask('POST', url, { payload: short, headers }), { status: 400, body: { detail: /more than 300 fields/ } }, url)
  t.match(await ask('POST', path, { payload: fields(300), headers }), { status: 400, body: { errors: [{ pointer: '/name', detail: 'Required.' }] } }, 'so many are listed, as far as the list goes')
  // As much as a key may have: 2 KiB of metadata.
  const metadatas = [
    Object.fromEntries(Array.from({ length: 240 }, (_, i) => [i.toString(36), ''])),
    { ['n'.repeat(2000)]: '' }
  ]
  for (const metadata of metadatas) {
    const payload = JSON.stringify({ name: 'n', scope: 'mcp:read', metadata }).replace(/n{2000}/, '\\u006e'.repeat(2000))
    t.match(await ask('POST', path, { payload, headers }), { status: 201, body: { metadata } })
  }
  t.match(await ask('POST', path, { payload: `{"name":"${':"'.repeat(50)}`, headers }), { status: 400 }, 'no JSON')
})

t.test('two Host headers are refused', async (t) => {
  const { talk } = await setup(t)
  t.match(await talk('GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'), /^HTTP\/1\.1 400 [^]*more than one Host header/)
  t.match(await talk('GET /livez HTTP/1.1\r\nHost: a\r\n\r\n'), /^HTTP\/1\.1 200 /)
})

t.test('a Host header that is no host is refused', async (t) => {
  const { talk } = await setup(t)
  const get = (host: string) => talk(`GET /livez HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  for (const host of ['"><evil', 'a b', 'a/b', 'ada@keys.example', 'http://keys.example', 'keys.example:http', 'keys.example:8080:1', '[::1', '::1', 'a?b', 'a#b', 'a\\b', 'schl\u00fcssel', '%', ':80', 'a, b@c']) {
    t.match(await get(host), /^HTTP\/1\.1 400 [^]*"detail":"The Host header is not a host with or without a port/, host)
  }
  for (const host of ['', 'keys.example', 'navis_keys', 'KEYS.example.:443', '127.0.0.1:8080', '[::1]:8080', '[::ffff:127.0.0.1]', '[fe80::1%25eth0]', 'xn--schlssel-95a.example', 'schl%C3%BCssel:']) {
    t.match(await get(host), /^HTTP\/1\.1 200 /, host)
  }
})

t.test('a request that names the type of a body, and sends none, is answered at once, whether it says that it has none or not', async (t) => {
  const { talk } = await setup(t)
  const rows = [
    { line: `DELETE ${path}/019c0000-0000-7000-8000-000000000000`, answer: /^HTTP\/1\.1 404 [^]*"code":"not_found"/ },
    { line: `POST ${path}/revoke-all`, answer: /^HTTP\/1\.1 200 [^]*"revoked":0/ },
    { line: `POST ${path}`, answer: /^HTTP\/1\.1 400 [^]*The body is empty/ }
  ]
  for (const { line, answer } of rows) {
    const head = [`${line} HTTP/1.1`, 'Host: a', `Authorization: Bearer ${management}`, 'Content-Type: application/json']
    for (const length of [[], ['Content-Length: 0']]) t.match(await talk([...head, ...length, '', ''].join('\r\n')), answer, `${line} ${length}`)
  }
})

t.test('a client that waits for 100 Continue is asked for its body when its credential is good, and only then', async (t) => {
  const { talk } = await setup(t)
  const head = (token: string) => [`POST ${path} HTTP/1.1`, 'Host: a', `Authorization: Bearer ${token}`, 'Content-Type: application/json', `Content-Length: ${body.length}`, 'Expect: 100-continue', '', ''].join('\r\n')
  const refused = await talk(head('x'.repeat(43)))
  t.match(refused, /^HTTP\/1\.1 401 [^]*connection: close/i)
  t.notMatch(refused, '100 Continue')
  t.match(await talk(head(management), body), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 201 [^]*connection: keep-alive/i)
})
