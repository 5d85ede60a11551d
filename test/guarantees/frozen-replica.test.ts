import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import { freePort } from '../support/server-process.ts'
import { freshDatabase, freshRedis } from '../support/servers.ts'
import { TokenFormat } from '../../src/core/token.ts'
import { ask, ready, startMain, secret } from './service.ts'

const windowMs = 2000
const sha256 = (token: string) => createHash('sha256').update(token).digest('hex')
const keys = '/v1/workspaces/acme/keys'

interface Made { readonly id: string, readonly token: string }

async function setup (t: Test, { redis }: { readonly redis: boolean }) {
  const databaseUrl = await freshDatabase(t)
  const ports = [await freePort(), await freePort()]
  const env = { DATABASE_URL: databaseUrl, ...redis && { REDIS_URL: await freshRedis(t) }, MANAGEMENT_TOKENS: `ops=${secret}`, TRUST_WINDOW_MS: String(windowMs), LOG_LEVEL: 'error' }
  const [one, other] = ports.map((port) => startMain(t, { env: { ...env, PORT: String(port) } }))
  await Promise.all(ports.map(ready))
  const call = async (method: string, path: string, body?: object) => {
    const answer = await ask(`http://127.0.0.1:${ports[0]}${path}`, { method, body: body && JSON.stringify(body) })
    return { status: answer.status, body: answer.body === '' ? undefined : JSON.parse(answer.body) }
  }
  const create = async (fields: object = {}): Promise<Made> => (await call('POST', keys, { name: 'n', scope: 'mcp:read', ...fields })).body
  const verdict = async (port: number, token: string) => JSON.parse((await ask(`http://127.0.0.1:${port}/v1/verify`, { method: 'POST', body: JSON.stringify({ token }) })).body)
  const verify = async (token: string) => await Promise.all(ports.map((port) => verdict(port, token)))
  /** Stops the other replica, has one do something, lets the other go on, and asks it at once. */
  const withFrozen = async <T> (act: () => Promise<T>, token: string): Promise<{ answer: T, ms: number, said: any }> => {
    other!.process.kill('SIGSTOP')
    const from = performance.now()
    try {
      const answer = await act()
      const ms = performance.now() - from
      const asking = verdict(ports[1]!, token)
      other!.process.kill('SIGCONT')
      return { answer, ms, said: await asking }
    } finally {
      other!.process.kill('SIGCONT')
    }
  }
  return { call, create, verify, withFrozen, one }
}

for (const redis of [true, false]) {
  t.test(`while a replica is frozen, whatever narrows returns in time and is in force when that replica goes on, ${redis ? 'with' : 'without'} Redis`, { timeout: 300_000 }, async (t) => {
    const { call, create, verify, withFrozen } = await setup(t, { redis })
    const old = new TokenFormat().mint().token
    await call('POST', `${keys}/import`, { keys: [{ token_sha256: sha256(old), name: 'old', scope: 'mcp:read', created_at: new Date(Date.now() - 3 * 86_400_000).toISOString() }] })
    const changes = [
      { what: 'a rotation without grace', key: await create(), act: async ({ id }: Made) => await call('POST', `${keys}/${id}/rotate`, {}), status: 201, reason: 'revoked' },
      { what: 'a revocation of an owner', key: await create({ owner_id: 'auth0|ada+x@example.com' }), act: async () => await call('POST', `${keys}/revoke-all`, { owner_id: 'auth0|ada+x@example.com' }), status: 200, reason: 'revoked' },
      { what: 'a leak', key: await create(), act: async ({ token }: Made) => await call('POST', '/v1/leaks', [{ token }]), status: 200, reason: 'revoked' },
      { what: 'a list of addresses', key: await create(), act: async ({ id }: Made) => await call('PATCH', `${keys}/${id}`, { allowed_cidrs: ['203.0.113.0/24'] }), status: 200, reason: 'address_not_allowed' },
      { what: 'a policy that is applied to all', key: { id: '', token: old }, act: async () => await call('PUT', '/v1/workspaces/acme/policy', { max_lifetime_days: 1, apply: 'all' }), status: 200, reason: 'expired' }
    ]
    for (const { what, key, act, status, reason } of changes) {
      t.strictSame((await verify(key.token)).map(({ valid }) => valid), [true, true], `${what}: both replicas hold the key before`)
      const { answer, ms, said } = await withFrozen(async () => await act(key), key.token)
      t.equal(answer.status, status, what)
      t.ok(ms < 5 * windowMs + 10_000, `${what} returned after ${Math.round(ms)} ms`)
      t.not(said.valid, true, `${what}: not accepted by the replica that was frozen`)
      t.match(await settled(async () => await verify(key.token)), [{ valid: false, reason }, { valid: false, reason }], what)
    }
    const token = new TokenFormat().mint().token
    const { answer, said } = await withFrozen(async () => await call('POST', `${keys}/import`, { keys: [{ token_sha256: sha256(token), name: 'n', scope: 'mcp:read' }] }), token)
    t.match(answer, { status: 201, body: { imported: 1, already_there: 0 } })
    t.not(said.valid, false, 'an imported key is known everywhere, or its replica cannot say yet')
    t.match(await settled(async () => await verify(token)), [{ valid: true }, { valid: true }])
  })
}

/** A replica that was frozen says that it cannot answer until its window is open again. */
async function settled (ask: () => Promise<any[]>): Promise<any[]> {
  for (const end = performance.now() + 60_000; ;) {
    const answers = await ask()
    if (answers.every(({ valid }) => valid !== undefined) || performance.now() > end) return answers
    await new Promise((resolve) => { setTimeout(resolve, 100) })
  }
}
