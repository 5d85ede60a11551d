import { createHash, createSign, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { TokenFormat } from '../../src/core/token.ts'
import { setupApp } from './setup.ts'

const hashOf = (token: string) => createHash('sha256').update(token).digest('base64')

function newKey () {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { privateKey, pem: publicKey.export({ type: 'spki', format: 'pem' }).toString() }
}

const listOf = (keys: Readonly<Record<string, string>>) =>
  JSON.stringify({ public_keys: Object.entries(keys).map(([identifier, key]) => ({ key_identifier: identifier, key, is_current: true })) })

async function setup (t: Test, source?: string) {
  const github = newKey()
  const file = join(t.testdir(), 'keys.json')
  writeFileSync(file, listOf({ one: github.pem }))
  const service = await setupApp(t, { environment: { LEAKS_GITHUB_KEYS: source ?? file } })
  const report = async (payload: string, { key = github.privateKey, identifier = 'one', signed = payload, headers = {} }: { key?: KeyObject, identifier?: string, signed?: string, headers?: Record<string, string> } = {}) => await service.ask('POST', '/v1/leaks/github', {
    payload,
    headers: {
      authorization: '',
      'content-type': 'application/json',
      'github-public-key-identifier': identifier,
      'github-public-key-signature': createSign('SHA256').update(signed).sign(key, 'base64'),
      ...headers
    }
  })
  return { ...service, github, file, report }
}

t.test('a report that GitHub signed ends live keys, is answered by the hash of each token, and a replay does no harm', async (t) => {
  const { ask, create, report, logs } = await setup(t)
  const [{ id, token }, ended] = [await create(), await create()]
  await ask('DELETE', `/v1/workspaces/acme/keys/${ended.id}`)
  const stranger = new TokenFormat().mint().token
  // Spaces, order and members as GitHub likes: only the bytes count.
  const payload = JSON.stringify([
    { source: 'content', type: 'navis_token', token, url: 'https://github.com/octocat/Hello-World/blob/12345600b9cbe38a219f39a9941c9319b600c002/foo/bar.txt', further: { of: 'theirs' } },
    { type: 'navis_token', token: stranger, url: '' },
    { type: 'navis_token', token: ended.token, url: `https://github.com/x?token=${ended.token}` }
  ], null, 2)
  const answer = await report(payload)
  t.strictSame([answer.status, answer.body], [200, [
    { token_hash: hashOf(token), token_type: 'navis_token', label: 'true_positive' },
    { token_hash: hashOf(stranger), token_type: 'navis_token', label: 'false_positive' },
    { token_hash: hashOf(ended.token), token_type: 'navis_token', label: 'true_positive' }
  ]])
  t.match((await ask('POST', '/v1/verify', { payload: { token } })).body, { valid: false, reason: 'revoked' })
  t.match((await ask('GET', `/v1/workspaces/acme/keys/${id}`)).body, { revoked_by: 'github', revoke_reason: 'leaked' })
  const audit = async () => (await ask('GET', '/v1/workspaces/acme/audit')).body.entries
  const before = await audit()
  t.match(before[0], { action: 'key.leaked', actor: 'github', details: { source: 'github', url: /octocat/ } })
  t.strictSame((await report(payload)).body, answer.body)
  t.strictSame(await audit(), before, 'a replay leaves nothing behind')
  t.notOk([...logs, JSON.stringify(before)].some((text) => [token, ended.token].some((secret) => text.includes(secret))))
})

t.test('the request that GitHub\'s documentation has as its example is accepted with GitHub\'s own key, and not with a byte changed', async (t) => {
  const identifier = 'bcb53661c06b4728e59d897fb6165d5c9cda0fd9cdf9d09ead458168deb7518c'
  const payload = '[{"source":"commit","token":"some_token","type":"some_type","url":"https://example.com/base-repo-url/"}]'
  const headers = { 'github-public-key-signature': 'MEQCIQDaMKqrGnE27S0kgMrEK0eYBmyG0LeZismAEz/BgZyt7AIfXt9fErtRS4XaeSt/AO1RtBY66YcAdjxji410VQV4xg==' }
  const { report, file } = await setup(t)
  writeFileSync(file, listOf({ [identifier]: '-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYAGMWO8XgCamYKMJS6jc/qgvSlAd\nAjPuDPRcXU22YxgBrz+zoN19MzuRyW87qEt9/AmtoNP5GrobzUvQSyJFVw==\n-----END PUBLIC KEY-----\n' }))
  const answer = await report(payload, { identifier, headers })
  t.strictSame([answer.status, answer.body], [200, [{ token_hash: hashOf('some_token'), token_type: 'some_type', label: 'false_positive' }]])
  t.equal((await report(payload.replace('commit', 'Commit'), { identifier, headers })).status, 401)
})

t.test('what is not signed, or not by a key of GitHub over these very bytes, is a 401 and does nothing', async (t) => {
  const { ask, create, report } = await setup(t)
  const { token } = await create()
  const payload = JSON.stringify([{ token, type: 'x', url: '' }])
  for (const [when, options] of [
    ['another key', { key: newKey().privateKey }],
    ['another body', { signed: `${payload} ` }],
    ['an unknown identifier', { identifier: 'two' }],
    ['no signature', { headers: { 'github-public-key-signature': '' } }],
    ['no base64', { headers: { 'github-public-key-signature': '!' } }],
    ['no identifier', { headers: { 'github-public-key-identifier': '' } }]
  ] as const) t.match(await report(payload, options), { status: 401, body: { code: 'unauthenticated' } }, when)
  t.match((await ask('POST', '/v1/verify', { payload: { token } })).body, { valid: true })
})

t.test('a signed report that is none is told what is wrong with it', async (t) => {
  const { report } = await setup(t)
  for (const [payload, pointer] of [['{', ''], ['{}', ''], ['[]', ''], ['[1]', '/0/token'], ['[{"token":"x"}]', '/0/type'], ['[{"token":"x","type":"y"},{"token":"","type":"y"}]', '/1/token'], [JSON.stringify(Array.from({ length: 1001 }, () => ({ token: 'x', type: 'y' }))), '']] as const) {
    t.match(await report(payload), { status: 400, body: { errors: [{ pointer }] } }, payload.slice(0, 40))
  }
  const { token } = new TokenFormat().mint()
  for (const [payload, detail] of [[`[{"token":"x","type":"y","token":"${token}"}]`, /same field twice/], [`${'['.repeat(100)}${']'.repeat(100)}`, /nested more than/]] as const) {
    t.match(await report(payload), { status: 400, body: { code: 'invalid_request', detail } }, payload.slice(0, 40))
  }
  t.match(await report('x', { headers: { 'content-type': 'text/plain' } }), { status: 415 })
})

t.test('keys are read from a URL and remembered; 503 where they cannot be had', async (t) => {
  const keys = { old: newKey(), new: newKey() }
  let answered = listOf({ old: keys.old.pem })
  let requests = 0
  let status = 500
  const server = createServer((_request, response) => {
    requests++
    response.writeHead(status).end(answered)
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => server.close())
  const { report } = await setup(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`)
  const payload = JSON.stringify([{ token: new TokenFormat().mint().token, type: 'x' }])
  const ask = async (which: 'old' | 'new') => (await report(payload, { key: keys[which].privateKey, identifier: which })).status
  t.equal(await ask('old'), 503)
  status = 200
  answered = 'no keys'
  t.equal(await ask('old'), 503)
  answered = listOf({ old: keys.old.pem })
  t.equal(await ask('old'), 200)
  t.equal(await ask('old'), 200)
  t.equal(requests, 3, 'they are remembered')
  answered = listOf({ new: keys.new.pem })
  t.equal(await ask('new'), 401, 'not at everyone\'s wish: a minute has to pass')
  t.equal(requests, 3)
})

t.test('too many reports from one address are refused for a while', async (t) => {
  const { report } = await setup(t)
  const payload = JSON.stringify([{ token: new TokenFormat().mint().token, type: 'x' }])
  // Five more are allowed in each second: on a slow machine it takes some more than the 300 of a burst.
  let refused: Awaited<ReturnType<typeof report>> | undefined
  for (let i = 0; i < 3000 && refused === undefined; i++) {
    const answer = await report(payload, { headers: { 'github-public-key-signature': '' } })
    if (answer.status === 429) refused = answer
  }
  t.match(refused, { status: 429, body: { code: 'rate_limited' }, headers: { 'retry-after': /^\d+$/ } })
})
