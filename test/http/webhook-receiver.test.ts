import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { lookup } from 'node:dns/promises'
import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { Webhook } from 'standardwebhooks'
import t, { type Test } from 'tap'
import type { KeyEvent } from '../../src/core/events.ts'
import { faultOfWebhookUrl, mayReach } from '../../src/core/webhook-address.ts'
import { WebhookReceiver } from '../../src/http/webhook-receiver.ts'

const secretOf = () => `whsec_${randomBytes(32).toString('base64')}`
const never = new AbortController().signal
const event: KeyEvent = {
  id: '01994f6e-5a3c-7d11-9c55-3e1f0a7b2c4d',
  type: 'key.expiring',
  at: Date.UTC(2026, 10, 25),
  keyId: '01994f6e-5a3c-7d11-9c55-3e1f0a7b2c4e',
  days: 7,
  key: {
    id: '01994f6e-5a3c-7d11-9c55-3e1f0a7b2c4e', workspaceId: 'acme', ownerId: 'ada', name: 'Schlüssel ✓', scope: 'mcp:read', hint: '3kTq…B3x9', status: 'active', metadata: {}, createdAt: 0, createdBy: 'ops', expiresAt: null, lastUsedAt: null, revokedAt: null, revokedBy: null, revokeReason: null, allowedCidrs: null, rateLimit: null, rotatedAt: null, previousToken: null
  }
}

async function listen (t: Test, answer: (request: IncomingMessage, response: ServerResponse, body: string) => void) {
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => { body += chunk }).on('end', () => { answer(request, response, body) })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks?of=ours`
}

function receiver (t: Test, url: string, options: Partial<ConstructorParameters<typeof WebhookReceiver>[0]> = {}) {
  const one = new WebhookReceiver({ url, secrets: [secretOf()], ...options })
  t.teardown(() => { one.close() })
  return one
}

t.test('an event is signed with every secret, so that the official library accepts it with each and with no other', async (t) => {
  const secrets = [secretOf(), secretOf()]
  const got: Array<{ headers: Record<string, string>, body: string, url: string | undefined, method: string | undefined }> = []
  const url = await listen(t, ({ headers, url, method }, response, body) => {
    got.push({ headers: headers as Record<string, string>, body, url, method })
    response.writeHead(204).end()
  })
  t.strictSame(await receiver(t, url, { secrets }).send(event, never), { isConfirmed: true })
  const [{ headers, body, url: path, method }] = got as [typeof got[number]]
  t.strictSame([method, path, headers['content-type'], headers['webhook-id']], ['POST', '/hooks?of=ours', 'application/json', event.id])
  for (const secret of secrets) {
    t.match(new Webhook(secret).verify(body, headers), { id: event.id, type: 'key.expiring', timestamp: '2026-11-25T00:00:00.000Z', data: { key_id: event.keyId, days: 7, key: { name: 'Schlüssel ✓', owner_id: 'ada' } } })
    t.throws(() => new Webhook(secret).verify(`${body} `, headers))
  }
  t.throws(() => new Webhook(secretOf()).verify(body, headers))
})

t.test('only a 2xx confirms: a redirect is not followed, and what a receiver says is told by its status alone', async (t) => {
  let requests = 0
  for (const [status, headers, expected] of [
    [200, {}, { isConfirmed: true }],
    [299, {}, { isConfirmed: true }],
    [302, { location: 'http://127.0.0.1:1/' }, { isConfirmed: false, failure: 'HTTP 302', retryAfterMs: undefined }],
    [410, {}, { isConfirmed: false, failure: 'HTTP 410', retryAfterMs: undefined }],
    [429, { 'retry-after': '7' }, { isConfirmed: false, failure: 'HTTP 429', retryAfterMs: 7000 }],
    [503, { 'retry-after': 'Wed, 25 Nov 2026 00:00:00 GMT' }, { isConfirmed: false, failure: 'HTTP 503', retryAfterMs: undefined }]
  ] as const) {
    const url = await listen(t, (_request, response) => {
      requests++
      response.writeHead(status, headers).end('secret answer')
    })
    t.strictSame(await receiver(t, url).send(event, never), expected)
  }
  t.equal(requests, 6)
})

t.test('a receiver that does not answer, cuts the connection, is not there or answers without end is bounded in time and told of', async (t) => {
  const silent = await listen(t, () => {})
  t.strictSame(await receiver(t, silent, { timeoutMs: 100 }).send(event, never), { isConfirmed: false, failure: 'TIMEOUT' })
  const stopping = new AbortController()
  const sending = receiver(t, silent).send(event, stopping.signal)
  setImmediate(() => { stopping.abort() })
  t.match(await sending, { isConfirmed: false })
  const cut = await listen(t, (_request, response) => { response.destroy() })
  t.strictSame(await receiver(t, cut).send(event, never), { isConfirmed: false, failure: 'ECONNRESET' })
  t.strictSame(await receiver(t, 'http://127.0.0.1:1/').send(event, never), { isConfirmed: false, failure: 'ECONNREFUSED' })
  const cuts: string[] = []
  const endless = await listen(t, (_request, response) => {
    response.writeHead(200)
    const timer = setInterval(() => { response.write('x'.repeat(4096)) }, 1)
    response.on('close', () => { cuts.push('cut'); clearInterval(timer) })
  })
  t.strictSame(await receiver(t, endless).send(event, never), { isConfirmed: true })
  while (cuts.length === 0) await new Promise((resolve) => { setTimeout(resolve, 5) })
})

t.test('a private address is refused, by its own words and behind a name, unless it is allowed', async (t) => {
  for (const [url, allowed, says] of [
    ['https://example.com/', [], undefined],
    ['https://8.8.8.8/', [], undefined],
    ['http://localhost:3000/x', [], undefined],
    ['http://127.0.0.1/', [], undefined],
    ['http://[::1]:8080/', [], undefined],
    ['https://localhost/', [], undefined],
    ['http://example.com/', [], /must be https:/],
    ['http://10.0.0.1/', ['10.0.0.0/8'], /must be https:/],
    ['https://10.0.0.1/', [], /private address.*WEBHOOK_ALLOWED_CIDRS/],
    ['https://10.0.0.1/', ['10.0.0.0/8'], undefined],
    ['https://192.168.1.1/', ['10.0.0.0/8'], /private address/],
    ['https://169.254.169.254/latest', [], /private address/],
    ['https://100.64.0.1/', [], /private address/],
    ['https://0.0.0.0/', [], /private address/],
    ['https://[fd00::1]/', [], /private address/],
    ['https://[fe80::1]/', [], /private address/],
    ['https://[::ffff:10.0.0.1]/', [], /private address/],
    ['https://[64:ff9b::a00:1]/', [], /private address/],
    ['https://0x0a000001/', [], /private address/],
    ['https://2130706433/', [], undefined],
    ['https://user:secret@example.com/', [], /user or a password/],
    ['https://example.com/#x', [], /fragment/],
    ['ftp://example.com/', [], /must be https:/],
    ['example.com', [], /must be a URL/]
  ] as const) {
    const fault = faultOfWebhookUrl(url, allowed)
    if (says === undefined) t.equal(fault, undefined, url)
    else t.match(fault, says, url)
  }
  const named = new URL('https://hooks.example.com/')
  t.strictSame(['8.8.8.8', '2606:4700::1', '127.0.0.1', '10.1.2.3', '::1', '::ffff:192.168.0.1', 'fd12::1'].map((address) => mayReach(named, address, [])), [true, true, false, false, false, false, false])
  t.ok(mayReach(named, '10.1.2.3', ['10.1.0.0/16']))
  t.notOk(mayReach(new URL('http://localhost/'), '8.8.8.8', []), 'a name of this machine that leads elsewhere')
})

// The machine's own name leads to an address of the machine or of its network, and does not say so.
const own = await lookup(hostname(), { all: true }).catch(() => [])
const skip = own.some(({ address }) => address === '127.0.0.1') ? false : 'this machine has no name of its own that leads to it'

t.test('a name that leads to a private address when it is looked up is not connected to', { skip }, async (t) => {
  let requests = 0
  const url = new URL(await listen(t, (_request, response) => {
    requests++
    response.end()
  }))
  url.hostname = hostname()
  t.strictSame(await receiver(t, url.href).send(event, never), { isConfirmed: false, failure: 'ADDRESS_NOT_ALLOWED' })
  t.equal(requests, 0)
  t.strictSame(await receiver(t, url.href, { allowedCidrs: ['127.0.0.0/8'] }).send(event, never), { isConfirmed: true })
  t.equal(requests, 1)
})
