import t, { type Test } from 'tap'
import { KeyService } from '../../src/core/key-service.ts'
import { TokenFormat } from '../../src/core/token.ts'
import type { CommittedChange, ForcePath, LoggedChange } from '../../src/core/window/trust.ts'
import { connect } from '../../src/db/connect.ts'
import { PostgresKeyStore } from '../../src/db/key-store.ts'
import { borrowedPool } from '../../src/db/replaceable-pool.ts'
import { freshDatabase, until } from '../support/servers.ts'

/** A window that comes to be in force only when the test says so. */
async function setup (t: Test) {
  const { db, close } = connect({ url: await freshDatabase(t) })
  t.teardown(() => close())
  const waits: Array<{ change: CommittedChange, end (path: ForcePath): void }> = []
  const announced: LoggedChange[] = []
  const service = new KeyService({
    store: new PostgresKeyStore({ pool: borrowedPool(db, (host) => host) }),
    clock: { monotonicMs: () => 42 },
    tokens: new TokenFormat(),
    force: {
      inForce: (change) => new Promise((resolve) => { waits.push({ change, end: resolve }) }),
      announce: (change) => { announced.push(change) }
    }
  })
  const hour = Date.now() + 3_600_000
  const { key } = await service.create({ workspaceId: 'acme', actor: 'ops', name: 'a key', scope: 'mcp:read', expiresAt: hour })
  return { service, waits, announced, hour, id: { workspaceId: 'acme', keyId: key.id, actor: 'ops' } }
}

/** Whether `call` has returned before the window let it, and what it waited for. */
async function waitedFor (call: Promise<unknown>, waits: Array<{ change: CommittedChange, end (path: ForcePath): void }>) {
  let returned = false
  const done = call.then(() => { returned = true })
  await until(() => waits.length > 0)
  const early = returned
  const { change, end } = waits.shift()!
  end('slow')
  await done
  return { early, action: change.action, target: change.target.kind, seq: change.seq, committedAt: change.committedAt }
}

t.test('what takes something away returns when it is in force, a repeat too, each with a place in the log of its own', async (t) => {
  const { service, waits, announced, hour, id } = await setup(t)
  const expected = { early: false, committedAt: 42 }
  t.strictSame(await waitedFor(service.update({ ...id, expiresAt: hour - 1000 }), waits), { ...expected, action: 'change', target: 'key', seq: 1 })
  t.strictSame(await waitedFor(service.update({ ...id, expiresAt: hour - 1000 }), waits), { ...expected, action: 'change', target: 'key', seq: 2 }, 'the same again')
  t.strictSame(await waitedFor(service.update({ ...id, expiresAt: hour + 1000 }), waits), { ...expected, action: 'change', target: 'key', seq: 3 }, 'a later one: what it was before is not asked')
  t.strictSame(await waitedFor(service.update({ ...id, allowedCidrs: ['192.0.2.0/24'] }), waits), { ...expected, action: 'change', target: 'key', seq: 4 })
  t.strictSame(await waitedFor(service.update({ ...id, rateLimit: { requests: 5, windowSeconds: 60 } }), waits), { ...expected, action: 'change', target: 'key', seq: 5 })
  t.strictSame(await waitedFor(service.rotate(id), waits), { ...expected, action: 'change', target: 'key', seq: 6 })
  t.strictSame(await waitedFor(service.revoke(id), waits), { ...expected, action: 'revoke', target: 'key', seq: 7 })
  t.strictSame(await waitedFor(service.revoke(id), waits), { ...expected, action: 'revoke', target: 'key', seq: 8 })
  t.strictSame(await waitedFor(service.revokeWorkspace({ ...id, ownerId: 'ada' }), waits), { ...expected, action: 'change', target: 'workspace', seq: 9 })
  t.strictSame(await waitedFor(service.revokeWorkspace(id), waits), { ...expected, action: 'change', target: 'workspace', seq: 10 })
  t.strictSame(announced, [])
})

t.test('what takes nothing away is announced and waits for nobody', async (t) => {
  const { service, waits, announced, id } = await setup(t)
  await service.update({ ...id, name: 'new' })
  await service.update({ ...id, expiresAt: null })
  await service.update({ ...id, allowedCidrs: null, rateLimit: null })
  t.strictSame(announced.map(({ action, seq }) => [action, seq]), [['change', 1], ['change', 2], ['change', 3]])
  t.strictSame(waits, [])
})

t.test('an Idempotency-Key is its sender\'s own: two who send an equal one see nothing of each other', async (t) => {
  const { service } = await setup(t)
  const wanted = { workspaceId: 'acme', name: 'a key', scope: 'mcp:read', idempotencyKey: '1' } as const
  const { key } = await service.create({ ...wanted, actor: 'ops' })
  const other = await service.create({ ...wanted, actor: 'dev', name: 'another' })
  t.not(other.key.id, key.id)
  await t.rejects(service.create({ ...wanted, actor: 'ops' }), { code: 'already_created', extra: { key_id: key.id } })
})

t.test('metadata with the name that JavaScript keeps for itself is refused on every surface', async (t) => {
  const { service } = await setup(t)
  const metadata = JSON.parse('{"__proto__":"x"}')
  await t.rejects(service.create({ workspaceId: 'acme', actor: 'cli', name: 'a key', scope: 'mcp:read', metadata }), { code: 'invalid_request', faults: [{ pointer: '/metadata' }] })
})

t.test('an id that a path would swallow names neither a workspace nor an owner', async (t) => {
  const { service } = await setup(t)
  const wanted = { actor: 'ops', name: 'a key', scope: 'mcp:read' } as const
  for (const dots of ['.', '..', '...']) {
    await t.rejects(service.create({ ...wanted, workspaceId: dots }), { code: 'invalid_request', faults: [{ pointer: '/workspace_id' }] })
    await t.rejects(service.create({ ...wanted, workspaceId: 'acme', ownerId: dots }), { code: 'invalid_request', faults: [{ pointer: '/owner_id' }] })
  }
})

t.test('a revoked key stays as it is', async (t) => {
  const { service, waits, id } = await setup(t)
  await waitedFor(service.revoke({ ...id, reason: 'lost' }), waits)
  await t.rejects(service.update({ ...id, expiresAt: null }), { code: 'key_revoked' })
  await waitedFor(service.revoke({ ...id, actor: 'other', reason: 'again' }), waits)
  t.match(await service.get(id), { status: 'revoked', revokedBy: 'ops', revokeReason: 'lost' })
})
