import { createHash, createSign, generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { TokenFormat } from '../../src/core/token.ts'
import { ask, freshFolder, ready, secret, startMain } from '../process/service.ts'
import { freePort } from '../support/server-process.ts'
import { freshDatabase, freshRedis } from '../support/servers.ts'

t.setTimeout(600_000)

const windowMs = 1200
const dayMs = 86_400_000
const serviceSecret = 'frozen-replica-tests-service-secret-0123456789'
const sha256 = (token: string) => createHash('sha256').update(token).digest('hex')
const tokens = new TokenFormat()
const github = generateKeyPairSync('ec', { namedCurve: 'P-256' })

interface Made { readonly id: string, readonly token: string }
interface Answer { readonly status: number, readonly headers: Record<string, unknown>, readonly body: any }

async function setup (t: Test, { redis }: { readonly redis: boolean }) {
  const githubKeys = join(freshFolder(t), 'keys.json')
  writeFileSync(githubKeys, JSON.stringify({ public_keys: [{ key_identifier: 'one', key: github.publicKey.export({ type: 'spki', format: 'pem' }), is_current: true }] }))
  const ports = [await freePort(), await freePort()]
  const env = {
    DATABASE_URL: await freshDatabase(t),
    ...redis && { REDIS_URL: await freshRedis(t) },
    MANAGEMENT_TOKENS: `ops=${secret}`,
    SERVICE_TOKENS: `gateway=${serviceSecret}`,
    LEAKS_GITHUB_KEYS: githubKeys,
    TRUST_WINDOW_MS: String(windowMs),
    LOG_LEVEL: 'error'
  }
  const [, other] = ports.map((port) => startMain(t, { env: { ...env, PORT: String(port) } }))
  await Promise.all(ports.map(ready))
  const send = async (port: number, method: string, path: string, { body, headers = {} }: { body?: string | undefined, headers?: Record<string, string> } = {}): Promise<Answer> => {
    const answer = await ask(`http://127.0.0.1:${port}${path}`, { method, body, headers })
    const isJson = String(answer.headers['content-type']).includes('json')
    return { status: answer.status, headers: answer.headers, body: isJson ? JSON.parse(answer.body) : answer.body }
  }
  const call = async (method: string, path: string, body?: unknown) => await send(ports[0]!, method, path, { body: body === undefined ? undefined : JSON.stringify(body) })
  const form = async (path: string, text: string, headers: Record<string, string> = {}) => await send(ports[0]!, 'POST', path, { body: text, headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers } })
  const create = async (fields: object = {}, workspace = 'acme'): Promise<Made> => (await call('POST', `/v1/workspaces/${workspace}/keys`, { name: 'n', scope: 'mcp:read', ...fields })).body
  const importOld = async (workspace: string, ageDays: number): Promise<Made> => {
    const { token } = tokens.mint()
    await call('POST', `/v1/workspaces/${workspace}/keys/import`, { keys: [{ token_sha256: sha256(token), name: 'old', scope: 'mcp:read', created_at: new Date(Date.now() - ageDays * dayMs).toISOString() }] })
    return { id: (await call('GET', `/v1/workspaces/${workspace}/keys`)).body.keys[0].id, token }
  }
  const verdict = async (port: number, token: string) => (await send(port, 'POST', '/v1/verify', { body: JSON.stringify({ token }) })).body
  /** What both replicas say, once both know. One that was frozen says 503 until its window is open again. */
  const verify = async (token: string): Promise<any[]> => {
    for (const end = performance.now() + 60_000; ;) {
      const answers = await Promise.all(ports.map((port) => verdict(port, token)))
      if (answers.every(({ valid }) => valid !== undefined) || performance.now() > end) return answers
      await new Promise((resolve) => { setTimeout(resolve, 100) })
    }
  }
  /** Stops the other replica, has one do something, asks the other one about a token, and lets it go on: the question is the first that it answers. */
  const whileFrozen = async <T> (act: () => Promise<T>, token?: string): Promise<{ answer: T, ms: number, said: any }> => {
    other!.process.kill('SIGSTOP')
    try {
      const from = performance.now()
      const answer = await act()
      const ms = performance.now() - from
      const asking = token === undefined ? undefined : verdict(ports[1]!, token)
      other!.process.kill('SIGCONT')
      return { answer, ms, said: await asking }
    } finally {
      other!.process.kill('SIGCONT')
    }
  }
  return { call, form, send: send.bind(undefined, ports[0]!), create, importOld, verify, whileFrozen }
}

type Service = Awaited<ReturnType<typeof setup>>

/** What takes something away, how a key is made that it is done to, and why the key's token is refused afterwards. */
interface Narrowing {
  readonly what: string
  make (service: Service): Promise<Made>
  act (service: Service, made: Made): Promise<Answer>
  readonly status: number
  readonly reason: string
  /** A token of the same key that must go on being accepted, in what was answered or made. */
  living? (answer: Answer, made: Made): string
}

const acme = '/v1/workspaces/acme/keys'
const owner = 'auth0|ada+x@example.com'

const narrowings: readonly Narrowing[] = [
  {
    what: 'DELETE of a key',
    make: async ({ create }) => await create(),
    act: async ({ call }, { id }) => await call('DELETE', `${acme}/${id}`, { reason: 'lost' }),
    status: 204,
    reason: 'revoked'
  },
  {
    what: 'DELETE once more',
    make: async ({ create, call }) => { const made = await create(); await call('DELETE', `${acme}/${made.id}`); return made },
    act: async ({ call }, { id }) => await call('DELETE', `${acme}/${id}`),
    status: 204,
    reason: 'revoked'
  },
  {
    what: 'PATCH of the addresses',
    make: async ({ create }) => await create(),
    act: async ({ call }, { id }) => await call('PATCH', `${acme}/${id}`, { allowed_cidrs: ['203.0.113.0/24'] }),
    status: 200,
    reason: 'address_not_allowed'
  },
  {
    what: 'PATCH of the expiry',
    make: async ({ create }) => await create(),
    act: async ({ call }, { id }) => {
      const expire = async () => await call('PATCH', `${acme}/${id}`, { expires_at: new Date(Date.now() + 0.7 * windowMs).toISOString() })
      const answer = await expire()
      // On a busy machine the expiry may have passed before it was read.
      return answer.status === 400 ? await expire() : answer
    },
    status: 200,
    reason: 'expired'
  },
  {
    what: 'PATCH of the rate limit',
    make: async ({ create }) => await create({ rate_limit: { requests: 1000, window_seconds: 86_400 } }),
    // Both have used it once before: of one use a day none is left, at either of them.
    act: async ({ call }, { id }) => await call('PATCH', `${acme}/${id}`, { rate_limit: { requests: 1, window_seconds: 86_400 } }),
    status: 200,
    reason: 'rate_limited'
  },
  {
    what: 'a rotation without grace',
    make: async ({ create }) => await create(),
    act: async ({ call }, { id }) => await call('POST', `${acme}/${id}/rotate`, { grace_seconds: 0 }),
    status: 201,
    reason: 'revoked',
    living: ({ body }) => body.token
  },
  {
    what: 'a second rotation, which ends the oldest token at once',
    make: async ({ create, call }) => { const made = await create(); await call('POST', `${acme}/${made.id}/rotate`, { grace_seconds: 3600 }); return made },
    act: async ({ call }, { id }) => await call('POST', `${acme}/${id}/rotate`, { grace_seconds: 3600 }),
    status: 201,
    reason: 'revoked',
    living: ({ body }) => body.token
  },
  {
    what: 'revoke-all of an owner',
    make: async ({ create }) => await create({ owner_id: owner }),
    act: async ({ call }) => await call('POST', `${acme}/revoke-all`, { owner_id: owner, reason: 'left' }),
    status: 200,
    reason: 'revoked'
  },
  {
    what: 'revoke-all of a workspace',
    make: async ({ create }) => await create({}, 'closed'),
    act: async ({ call }) => await call('POST', '/v1/workspaces/closed/keys/revoke-all'),
    status: 200,
    reason: 'revoked'
  },
  {
    what: 'a policy that is applied to all',
    make: async ({ importOld }) => await importOld('strict', 3),
    act: async ({ call }) => await call('PUT', '/v1/workspaces/strict/policy', { max_lifetime_days: 1, apply: 'all' }),
    status: 200,
    reason: 'expired'
  },
  {
    what: 'a leak',
    make: async ({ create }) => await create(),
    act: async ({ call }, { token }) => await call('POST', '/v1/leaks', [{ token_sha256: sha256(token), source: 'tests' }]),
    status: 200,
    reason: 'revoked'
  },
  {
    what: 'a leak that GitHub tells of',
    make: async ({ create }) => await create(),
    act: async ({ send }, { token }) => {
      const body = JSON.stringify([{ token, type: 'navis_token', url: 'https://github.com/octocat/x', source: 'content' }])
      return await send('POST', '/v1/leaks/github', {
        body,
        headers: { authorization: '', 'github-public-key-identifier': 'one', 'github-public-key-signature': createSign('SHA256').update(body).sign(github.privateKey, 'base64') }
      })
    },
    status: 200,
    reason: 'revoked'
  },
  {
    what: 'RFC 7009 with the newest token',
    make: async ({ create }) => await create(),
    act: async ({ form }, { token }) => await form('/v1/revoke', `token=${token}`, { authorization: '' }),
    status: 200,
    reason: 'revoked'
  },
  {
    what: 'RFC 7009 with a token in its grace',
    make: async ({ create, call }) => {
      const { id, token } = await create()
      const { body } = await call('POST', `${acme}/${id}/rotate`, { grace_seconds: 3600 })
      return { id: body.token, token }
    },
    act: async ({ form }, { token }) => await form('/v1/revoke', `token=${token}`, { authorization: '' }),
    status: 200,
    reason: 'revoked',
    living: (_, { id: newest }) => newest
  }
]

for (const redis of [true, false]) {
  t.test(redis ? 'with Redis' : 'without Redis', async (t) => {
    const service = await setup(t, { redis })
    await t.test('while a replica is frozen, whatever narrows returns in time and is in force when that replica goes on', async (t) => { await narrows(t, service) })
    await t.test('while a replica is frozen, everything else answers at the other one, and is known to both afterwards', async (t) => { await goesOn(t, service) })
  })
}

async function narrows (t: Test, service: Service): Promise<void> {
  const { verify, whileFrozen } = service
  for (const { what, make, act, status, reason, living } of narrowings) {
    const made = await make(service)
    const isNew = !what.includes('once more')
    t.strictSame((await verify(made.token)).map(({ valid }) => valid), [isNew, isNew], `${what}: both replicas know the key before`)
    const { answer, ms, said } = await whileFrozen(async () => await act(service, made), made.token)
    t.equal(answer.status, status, `${what}: ${JSON.stringify(answer.body)}`)
    t.ok(ms < 5 * windowMs + 10_000, `${what} returned after ${Math.round(ms)} ms`)
    t.not(said.valid, true, `${what}: not accepted by the replica that was frozen`)
    t.match(await verify(made.token), [{ valid: false, reason }, { valid: false, reason }], what)
    if (living !== undefined) t.match(await verify(living(answer, made)), [{ valid: true }, { valid: true }], `${what}: the other token`)
  }
}

async function goesOn (t: Test, service: Service): Promise<void> {
  const { call, form, send, create, verify, whileFrozen } = service
  const key = await create({ owner_id: owner, metadata: { team: 'a' } })
  await verify(key.token)
  const imported = tokens.mint().token
  const described = { name: 'n', scope: 'mcp:write', expires_at: new Date(Date.now() + dayMs).toISOString() }
  const idempotent = { 'idempotency-key': 'one' }
  const post = async (path: string, body: object, headers = {}) => await send('POST', path, { body: JSON.stringify(body), headers })
  const basic = `Basic ${Buffer.from(`gateway:${serviceSecret}`).toString('base64')}`
  const one = `${acme}/${key.id}`
  const rows: ReadonlyArray<readonly [what: string, status: number, act: () => Promise<Answer>]> = [
    ['create', 201, async () => await post(acme, described, idempotent)],
    ['create once more', 409, async () => await post(acme, described, idempotent)],
    ['import', 201, async () => await post(`${acme}/import`, { keys: [{ token_sha256: sha256(imported), name: 'imported', scope: 'mcp:read' }] })],
    ['get', 200, async () => await call('GET', one)],
    ...['', '?status=all', '?status=revoked&limit=1', `?owner_id=${encodeURIComponent(owner)}`, '?scope=mcp:write', '?q=IMPORT', '?unused_days=1', '?expires_within_days=2'].map((query) => [`list${query}`, 200, async () => await call('GET', `${acme}${query}`)] as const),
    ['rename', 200, async () => await call('PATCH', one, { name: 'renamed' })],
    ['widen', 200, async () => await call('PATCH', one, { expires_at: null, allowed_cidrs: null, rate_limit: null })],
    ['policy', 200, async () => await call('GET', '/v1/workspaces/acme/policy')],
    ['a policy for new keys', 200, async () => await call('PUT', '/v1/workspaces/other/policy', { max_lifetime_days: 30, apply: 'new' })],
    ['usage', 200, async () => await call('GET', `${one}/usage`)],
    ['calls', 200, async () => await call('GET', '/v1/workspaces/acme/calls?decision=denied')],
    ['audit', 200, async () => await call('GET', `/v1/workspaces/acme/audit?key_id=${key.id}&actor=ops`)],
    ['events', 200, async () => await call('GET', '/v1/events')],
    ['verify', 200, async () => await call('POST', '/v1/verify', { token: key.token, scope: 'mcp:read', address: '192.0.2.1' })],
    ['introspect', 200, async () => await form('/v1/introspect', `token=${key.token}`, { authorization: basic })],
    ['forward-auth', 200, async () => await send('GET', '/forward-auth?scope=mcp:read', { headers: { authorization: `Bearer ${key.token}` } })],
    ['too little scope', 403, async () => await send('GET', '/forward-auth?scope=mcp:write', { headers: { authorization: `Bearer ${key.token}` } })],
    ['leaks of what is unknown', 200, async () => await post('/v1/leaks', [{ token: 'nothing' }] as unknown as object)],
    ['readyz', 200, async () => await call('GET', '/readyz')],
    ['metrics', 200, async () => await call('GET', '/metrics')],
    ['openapi.json', 200, async () => await call('GET', '/openapi.json')],
    ['llms.txt', 200, async () => await call('GET', '/llms.txt')]
  ]
  const { answer } = await whileFrozen(async () => {
    const answers: Answer[] = []
    for (const [, , act] of rows) answers.push(await act())
    return answers
  })
  for (const [i, [what, status]] of rows.entries()) t.equal(answer[i]!.status, status, `${what}: ${JSON.stringify(answer[i]!.body).slice(0, 200)}`)
  t.match(await verify(answer[0]!.body.token), [{ valid: true }, { valid: true }], 'made while it was frozen')
  t.match(await verify(imported), [{ valid: true }, { valid: true }], 'imported while it was frozen')
  const rotated = await whileFrozen(async () => await call('POST', `${one}/rotate`, { grace_seconds: 3600 }), key.token)
  t.equal(rotated.answer.status, 201)
  t.not(rotated.said.valid, false, 'a token in its grace is refused nowhere')
  for (const token of [key.token, rotated.answer.body.token]) t.match(await verify(token), [{ valid: true }, { valid: true }], 'both tokens, in the grace')
}
