import t from 'tap'
import { openKeys } from '../../src/engine/open-keys.ts'
import type { Keys } from '../../src/engine/open-keys.ts'
import { freshDatabase, freshRedis, startProxy, startRedis, until } from '../support/servers.ts'

t.test('a created key is accepted, and refused as soon as its revocation has returned', async (t) => {
  const keys = await openKeys({ databaseUrl: await freshDatabase(t), redisUrl: await freshRedis(t) })
  t.teardown(() => keys.close())
  const { token, key } = await keys.service.create({ workspaceId: 'w1', actor: 'test', name: 'ci', scope: 'mcp:read' })
  const first = keys.verifier.verify(token, { scope: 'mcp:read' })
  t.ok(first instanceof Promise, 'a miss is a promise')
  t.equal((await first).valid, true)
  const hit = keys.verifier.verify(token)
  t.match(hit, { valid: true, key: { id: key.id, workspaceId: 'w1' } }, 'a hit is no promise')
  t.match(keys.verifier.verify(token, { scope: 'mcp:write' }), { valid: false, reason: 'insufficient_scope', scope: 'mcp:write' })
  await keys.service.revoke({ workspaceId: 'w1', keyId: key.id, actor: 'test' })
  t.match(await keys.verifier.verify(token), { valid: false, reason: 'revoked' })
  t.match(await keys.verifier.verify(keys.tokens.mint().token), { valid: false, reason: 'unknown' })
  t.match(keys.verifier.verify('nops_x'), { valid: false, reason: 'malformed' })
  t.match(keys.health(), { postgres: 'up', redis: 'up', window: 'open' })
})

// A second is meant. What hangs would hang for good: a busy machine gets more.
const deadlineMs = 60_000

async function outcomeOf (keys: Keys, token: string): Promise<string> {
  const sentAt = performance.now()
  try {
    const verdict = await keys.verifier.verify(token)
    return verdict.valid ? 'accepted' : verdict.reason
  } catch (error) {
    const { code } = error as { code: string }
    return performance.now() - sentAt < deadlineMs ? code : `${code}, late`
  }
}

t.test('a primary cut off without a word: cached keys go on while the window is open, the rest is unavailable instead of waiting, and all heals', async (t) => {
  const url = new URL(await freshDatabase(t))
  const proxy = await startProxy(t, { to: Number(url.port) })
  const direct = await openKeys({ databaseUrl: url.href })
  url.port = String(proxy.port)
  const keys = await openKeys({ databaseUrl: url.href, trustWindowMs: 3000 })
  t.teardown(async () => { await keys.close(); await direct.close() })
  const make = async () => (await direct.service.create({ workspaceId: 'w1', actor: 'test', name: 'n', scope: 'mcp:read' })).token
  const [cached, cold, later] = [await make(), await make(), await make()]
  t.equal(await outcomeOf(keys, cached), 'accepted')

  proxy.cut()
  t.equal(await outcomeOf(keys, cached), 'accepted')
  t.equal(await outcomeOf(keys, cold), 'unavailable')
  await until(() => !keys.window.isOpen)
  t.equal(await outcomeOf(keys, cached), 'unavailable')
  t.equal(await outcomeOf(keys, cold), 'unavailable')

  proxy.heal()
  await until(async () => await outcomeOf(keys, cached) === 'accepted', { timeoutMs: deadlineMs })
  await until(async () => await outcomeOf(keys, later) === 'accepted', { timeoutMs: deadlineMs })
})

t.test('a frozen Redis costs no verification; when it is back, a revoked key is still refused', async (t) => {
  const redis = await startRedis(t)
  const databaseUrl = await freshDatabase(t)
  const [keys, other] = [await openKeys({ databaseUrl, redisUrl: redis.url, memoryEntriesMax: 1 }), await openKeys({ databaseUrl, redisUrl: redis.url })]
  t.teardown(async () => { await keys.close(); await other.close() })
  const made: Array<Awaited<ReturnType<typeof keys.service.create>>> = []
  for (let i = 0; i < 4; i++) made.push(await keys.service.create({ workspaceId: 'w1', actor: 'test', name: 'n', scope: 'mcp:read' }))
  const all = async () => { for (const { token } of made) t.equal(await outcomeOf(keys, token), 'accepted') }
  // Until the replica has its lineage it writes nothing to Redis. A machine that stands still makes an answer of Redis late: then it is passed by for a second,
  // and a row that has been written does not count as written.
  await until(async () => {
    const before = keys.stats().redis?.hits ?? 0
    await all()
    return (keys.stats().redis?.hits ?? 0) - before >= 3
  })
  t.pass('rows are found in Redis')
  const { written, writesFailed } = keys.stats().redis!
  t.ok(written + writesFailed >= 3, 'which this replica has written')
  redis.pause()
  await all()
  await other.service.revoke({ workspaceId: 'w1', keyId: made[0]!.key.id, actor: 'test' })
  t.equal(await outcomeOf(keys, made[0]!.token), 'revoked')
  redis.resume()
  await until(() => keys.health().redis === 'up')
  t.equal(await outcomeOf(keys, made[0]!.token), 'revoked')
  t.equal(await outcomeOf(keys, made[1]!.token), 'accepted')
})
