import t from 'tap'
import { openKeys } from '../src/open-keys.ts'
import { freshDatabase, freshRedis } from './support/servers.ts'

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
  t.comment(JSON.stringify(keys.stats()))
  t.match(await keys.health(), { postgres: 'up', redis: 'up', window: 'open' })
})
