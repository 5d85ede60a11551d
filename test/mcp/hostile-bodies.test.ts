import { request } from 'node:http'
import { connect } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { ByteBudget } from '../../src/mcp/byte-budget.ts'
import { messageOutline } from '../../src/mcp/protocol/message.ts'
import { StrictJsonReader } from '../../src/mcp/protocol/strict-json.ts'
import { TimeSlices } from '../../src/mcp/time-slices.ts'
import { startGateway } from '../support/gateway.ts'
import { recordingUpstream } from '../support/recording-upstream.ts'
import { until } from '../support/servers.ts'
import { standStill } from '../support/stand-still.ts'

const mebibyte = 1024 * 1024
const filled = (start: string, item: string, end: string) => Buffer.from(start + item.repeat(Math.floor((mebibyte - start.length - end.length) / item.length)) + end)
const hostile: ReadonlyArray<readonly [string, Buffer]> = [
  ['objects', filled('{"x":[', '{},', '{}]}')],
  ['numbers', filled('{"x":[', '1,', '1]}')],
  ['texts', filled('{"x":[', '"",', '""]}')],
  ['members', filled('{"x":[', '{"a":1},', '1]}')],
  ['escapes', filled('{"x":"', '\\u00e9', '"}')],
  ['depth', filled('{"x":[', `${'['.repeat(98)}${']'.repeat(98)},`, '1]}')]
]

test('a long body is read in steps, each of a few thousand bytes', async (t) => {
  for (const [what, body] of hostile) {
    const reader = new StrictJsonReader(body, messageOutline)
    let steps = 1
    while (!reader.advance(16_384)) steps++
    t.ok(steps >= body.length / 16_384 - 1, `${what}: ${steps} steps`)
    t.equal(String(reader.result.bytes).length, String(JSON.stringify(JSON.parse(String(body)))).length, what)
  }
})

test('a body whose type names another charset than UTF-8 is not read', async (t) => {
  const upstream = await recordingUpstream(t)
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const { token } = await gateway.mint('mcp:read')
  const ask = async (type: string) => (await fetch(gateway.url, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': type }, body: '{"jsonrpc":"2.0","id":1,"method":"ping"}' })).status
  for (const charset of ['utf-16', 'utf-7', '"utf-16le"', 'iso-8859-1', 'utf-8x', '']) t.equal(await ask(`application/json; charset=${charset}`), 415, charset)
  t.equal(await ask('application/json; x=1; Charset=utf-16'), 415)
  t.equal(upstream.received.length, 0)
  for (const type of ['application/json', 'application/json;charset=UTF-8', 'application/json; charset="utf-8"; x=1']) t.equal(await ask(type), 200, type)
})

test('the loop turns between the steps, and keys take turns', async (t) => {
  const slices = new TimeSlices({ monotonicMs: () => performance.now() })
  const order: string[] = []
  const work = (name: string, steps: number) => ({ advance: () => { order.push(name); standStill(2); return --steps === 0 } })
  let turns = 0
  const turn = () => { turns++; if (turns < 1000) setImmediate(turn) }
  setImmediate(turn)
  await Promise.all([slices.run('greedy', work('greedy', 20), mebibyte), slices.run('greedy', work('greedy', 20), mebibyte), slices.run('other', work('other', 3), mebibyte)])
  t.ok(order.lastIndexOf('other') <= 6, `the other key was done after ${order.lastIndexOf('other') + 1} steps of ${order.length}`)
  t.ok(turns >= 10, `the loop turned ${turns} times`)
})

test('work that throws fails its own caller and nobody else', async (t) => {
  const slices = new TimeSlices({ monotonicMs: () => performance.now() })
  const failing = slices.run('a', { advance: () => { throw new Error('bad') } }, mebibyte)
  const passing = slices.run('b', { advance: () => true }, mebibyte)
  await t.rejects(failing, { message: 'bad' })
  await passing
  await t.rejects(slices.run('a', { advance: () => { throw new Error('small') } }, 1), { message: 'small' })
})

test('small work of many callers is spread over turns of the loop as well', async (t) => {
  let now = 0
  const slices = new TimeSlices({ monotonicMs: () => now })
  let turns = 0
  const turn = () => { turns++; if (turns < 1000) setImmediate(turn) }
  setImmediate(turn)
  const turnsOf = await Promise.all(Array.from({ length: 40 }, async (_, i) => {
    await slices.run(`key-${i}`, { advance: () => { now += 1; return true } }, 100)
    return turns
  }))
  const inOneTurn = Math.max(...[...new Set(turnsOf)].map((turn) => turnsOf.filter((its) => its === turn).length))
  t.ok(inOneTurn <= 5, `${inOneTurn} ms of work in one turn`)
})

test('small work of a key that waits for nothing is done beside the large work of another', async (t) => {
  let now = 0
  let steps = 0
  const slices = new TimeSlices({ monotonicMs: () => now })
  const large = slices.run('greedy', { advance: () => { now += 0.7; return ++steps === 50 } }, mebibyte)
  const turn = async () => { await new Promise((resolve) => { setImmediate(resolve) }) }
  await turn()
  await turn()
  const before = steps
  t.ok(before > 0 && before < 50)
  await slices.run('other', { advance: () => true }, 100)
  t.equal(steps, before, 'in the same turn of the loop')
  let isDone = false
  const own = slices.run('greedy', { advance: () => true }, 100).then(() => { isDone = true })
  await Promise.resolve()
  t.notOk(isDone, 'the key itself waits for its own work')
  await Promise.all([large, own])
})

test('pieces of answers that cost nothing to read take their turns too', async (t) => {
  const slices = new TimeSlices({ monotonicMs: () => 0 })
  let turns = 0
  const turn = () => { turns++; if (turns < 1000) setImmediate(turn) }
  setImmediate(turn)
  await Promise.all(Array.from({ length: 200 }, async (_, i) => { await slices.pass(`key-${i}`, 64 * 1024) }))
  t.ok(turns >= 5, `200 pieces of 64 KiB took ${turns} turns`)
})

test('a key waits for its own share and never for that of another', async (t) => {
  const budget = new ByteBudget({ perKeyMax: 10, inAllMax: 30 })
  const { signal } = new AbortController()
  const first = await budget.take('a', 10, signal)
  let second: (() => void) | undefined
  const waiting = budget.take('a', 5, signal).then((release) => { second = release })
  const other = await budget.take('b', 10, signal)
  t.equal(second, undefined)
  first()
  first()
  await waiting
  t.equal(budget.heldInAll, 15)
  second?.()
  other()
  t.equal(budget.heldInAll, 0)
})

test('who goes while it waits leaves the line, and the next one gets its place', async (t) => {
  const budget = new ByteBudget({ perKeyMax: 10, inAllMax: 10 })
  const { signal } = new AbortController()
  const release = await budget.take('a', 10, signal)
  const gone = new AbortController()
  const left = budget.take('b', 10, gone.signal)
  const stays = budget.take('c', 10, signal)
  gone.abort(new Error('gone'))
  await t.rejects(left, { message: 'gone' })
  release()
  ;(await stays)()
  t.equal(budget.heldInAll, 0)
})

test('a key with too much waiting is told so', async (t) => {
  const budget = new ByteBudget({ perKeyMax: 1, inAllMax: 1 })
  const { signal } = new AbortController()
  const release = await budget.take('a', 1, signal)
  const waiting = Array.from({ length: 100 }, async () => (await budget.take('a', 1, new AbortController().signal))())
  await t.rejects(budget.take('a', 1, signal), { name: 'TooMuchWaiting' })
  release()
  await Promise.all(waiting)
  t.equal(budget.heldInAll, 0)
})

test('beside hostile bodies of a read key, another key is served and nothing stays held', async (t) => {
  const upstream = await recordingUpstream(t)
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const [attacker, neighbour] = [await gateway.mint('mcp:read'), await gateway.mint('mcp:read', { workspaceId: 'ws-2' })]
  const post = async (token: string, body: Buffer | string) => {
    const response = await fetch(gateway.url, { method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` }, body })
    await response.arrayBuffer()
    return response.status
  }
  const call = (params: Buffer) => Buffer.concat([Buffer.from('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"set","arguments":'), params.subarray(0, params.length), Buffer.from('}}')])
  const delays = monitorEventLoopDelay({ resolution: 1 })
  delays.enable()
  const attacks = Promise.all(hostile.flatMap(([, body]) => [post(attacker.token, body), post(attacker.token, call(Buffer.from(String(body).slice(0, mebibyte / 2).replace(/,[^,]*$/, ']}'))))]))
  const pings: number[] = []
  const under = { way: true }
  attacks.finally(() => { under.way = false }).catch(() => {})
  while (under.way) {
    pings.push(await post(neighbour.token, '{"jsonrpc":"2.0","id":1,"method":"ping"}'))
    await sleep(5)
  }
  delays.disable()
  t.strictSame(new Set(pings), new Set([200]))
  t.ok((await attacks).every((status) => status === 400 || status === 403), `refused: ${(await attacks).join()}`)
  t.equal(await post(attacker.token, Buffer.alloc(mebibyte + 1, 0x20)), 413, 'more than the limit is not read')
  t.comment(`the loop was held for ${(delays.percentile(99) / 1e6).toFixed(1)} ms at p99, ${(delays.max / 1e6).toFixed(1)} ms at most`)
  await until(async () => gateway.reports.length >= pings.length + hostile.length * 2 + 1)
  t.ok(upstream.received.every(({ body }) => body.includes('ping')))
})

test('a body that never comes to its end holds no more than its share, and gives it back', async (t) => {
  const upstream = await recordingUpstream(t)
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const { token } = await gateway.mint('mcp:read')
  const { hostname, port } = new URL(gateway.url)
  const slow = Array.from({ length: 6 }, () => {
    const sent = request({ hostname, port, path: '/mcp', method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'content-length': mebibyte } })
    sent.on('error', () => {})
    sent.write('{')
    return sent
  })
  const ping = async () => (await fetch(gateway.url, { method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` }, body: '{"jsonrpc":"2.0","id":1,"method":"ping"}' })).status
  t.equal(await ping(), 200, 'small messages go on')
  for (const sent of slow) sent.destroy()
  await until(() => gateway.reports.length === 7)
  const large = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping', params: { text: 'x'.repeat(900_000) } })
  const answers = await Promise.all(Array.from({ length: 8 }, () => fetch(gateway.url, { method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` }, body: large })))
  t.strictSame(answers.map(({ status }) => status), Array(8).fill(200), 'more than fit at once wait for each other')
})

test('a body in a thousand chunks of a byte or two is refused, and its connection closed', async (t) => {
  const upstream = await recordingUpstream(t)
  const gateway = await startGateway(t, { upstreams: upstream.url })
  const { token } = await gateway.mint('mcp:write')
  const { hostname, port } = new URL(gateway.url)
  const socket = connect(Number(port), hostname)
  t.teardown(() => { socket.destroy() })
  let answer = ''
  const closed = new Promise((resolve) => { socket.on('data', (piece) => { answer += String(piece) }).on('error', () => {}).once('close', resolve) })
  socket.write(`POST /mcp HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n${'1\r\n \r\n'.repeat(20_000)}`)
  await closed
  t.match(answer, /^HTTP\/1\.1 400 [^]*connection: close[^]*small chunks/i)
  const inEventualPieces = new ReadableStream({
    async pull (controller) {
      for (const piece of JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping', params: { text: 'x'.repeat(20_000) } }).match(/.{1,64}/g) ?? []) controller.enqueue(Buffer.from(piece))
      controller.close()
    }
  })
  const honest = await fetch(gateway.url, { method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` }, body: inEventualPieces, duplex: 'half' } as RequestInit)
  t.equal(honest.status, 200, 'a stream in pieces of 64 bytes is no attack')
})

test('a list that is longer than a body may be is filtered all the same', async (t) => {
  const tools = Array.from({ length: 5000 }, (_, i) => ({ name: `${i % 2 === 0 ? 'get' : 'set'}_${i}`, description: 'x'.repeat(200), inputSchema: { type: 'object' } }))
  const list = JSON.stringify({ jsonrpc: '2.0', id: 1, result: { tools } })
  for (const [type, body] of [['application/json', list], ['text/event-stream', `data: ${list}\n\n`]] as const) {
    const upstream = await recordingUpstream(t, (_request, response) => { response.writeHead(200, { 'content-type': type }).end(body) })
    const policy = t.testdir({ 'policy.json': '{"upstreams":{"default":{"tools":{"get_*":"mcp:read"}}}}' })
    const gateway = await startGateway(t, { upstreams: upstream.url, bodyBytesMax: 1024, policyFile: `${policy}/policy.json` })
    const { token } = await gateway.mint('mcp:read')
    // Four at once, where one fills the share of a key.
    const answers = await Promise.all(Array.from({ length: 4 }, async () => {
      const response = await fetch(gateway.url, { method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` }, body: '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' })
      return JSON.parse((await response.text()).replace(/^data: /, '')) as typeof upstream & { result: { tools: Array<{ name: string }> } }
    }))
    for (const { result } of answers) {
      t.equal(result.tools.length, 2500, type)
      t.ok(result.tools.every(({ name }) => name.startsWith('get_')))
    }
  }
})
