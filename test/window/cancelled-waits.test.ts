import postgres from 'postgres'
import t from 'tap'
import { ask, type Asked } from '../process/service.ts'
import { freshRedis, startPostgres, type PostgresServer } from '../support/servers.ts'
import { until } from '../support/until.ts'
import { followingStandby } from './following-standby.ts'
import { administer, startReplica, warm, type MadeKey, type RunningReplica } from './replicas.ts'

/*
 * A commit waits for a synchronous standby that does not answer, and an administrator cancels the wait: the primary has the change, and nobody knows whether
 * the standby has it. Real servers, and a real standby behind a link that can be held. The tests follow one another on the same servers.
 */

t.setTimeout(240_000)

const unknown = /It is not known whether the standby has the change/
const isWaiting = "wait_event = 'SyncRep' and application_name like 'navis-keys%'"
/** Changes write the audit trail; renewals of the window do not, and go on waiting. */
const isChange = "query like '%audit%'"
const cancelEveryMs = 20

// Statements are told apart by their texts, which the server cuts at 1 KiB by default.
const primary = await startPostgres(t, { settings: { track_activity_query_size: '64kB' } })
const standby = await followingStandby(t, primary)
await administer(primary.url, "alter system set synchronous_standby_names = 'ANY 1 (*)'", 'select pg_reload_conf()')
await until(async () => (await administer(primary.url, 'select sync_state from pg_stat_replication'))[0]?.['sync_state'] === 'quorum')
const options = { databaseUrl: `postgres://postgres@127.0.0.1:${primary.port},127.0.0.1:${standby.port}/postgres`, redisUrl: await freshRedis(t), windowMs: 5000 }
const [a, b] = await Promise.all([startReplica(t, options), startReplica(t, options)])
const keys = await a.createMany(5)
const [revoked, rotated, live, lostRevoked, lostRotated] = keys as [MadeKey, MadeKey, MadeKey, MadeKey, MadeKey]
await warm([a, b], keys)
await standby.caughtUp()

const request = async ({ port }: RunningReplica, method: string, path: string, { body, once }: { body?: object, once?: string } = {}): Promise<Asked> =>
  await ask(`http://127.0.0.1:${port}/v1/workspaces/w/keys${path}`, { method, ...body !== undefined && { body: JSON.stringify(body) }, ...once !== undefined && { headers: { 'idempotency-key': once } } })

const revoke = async (replica: RunningReplica, { id }: MadeKey) => await request(replica, 'DELETE', `/${id}`)
const rotate = async (replica: RunningReplica, { id }: MadeKey) => await request(replica, 'POST', `/${id}/rotate`, { body: { grace_seconds: 0 }, once: `the rotation of ${id}` })
const create = async (replica: RunningReplica, once: string) => await request(replica, 'POST', '', { body: { name: 'made once', scope: 'mcp:read' }, once })

/** The answer to a change whose wait for the standby is cancelled. On a busy machine the service may have given the change up before: then it is asked for again. */
async function cancelled (primary: PostgresServer, change: () => Promise<Asked>): Promise<Asked> {
  const sql = postgres(primary.url, { max: 1, onnotice: () => {}, fetch_types: false })
  try {
    for (let tries = 1; ; tries++) {
      const over = new AbortController()
      const asked = change().finally(() => { over.abort() })
      while (!over.signal.aborted) {
        await sql.unsafe(`select pg_cancel_backend(pid) from pg_stat_activity where ${isWaiting} and ${isChange}`)
        await new Promise((resolve) => { setTimeout(resolve, cancelEveryMs) })
      }
      const answer = await asked
      if (answer.status !== 503 || unknown.test(answer.body) || tries === 20) return answer
    }
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** A failover to the standby; resolves when both replicas use it. */
async function failOver (primary: PostgresServer, standbyUrl: string, replicas: readonly RunningReplica[]): Promise<void> {
  await primary.kill()
  await administer(standbyUrl, 'select pg_promote()')
  for (const replica of replicas) {
    await until(async () => (await request(replica, 'POST', '', { body: { name: 'after the failover', scope: 'mcp:read' } })).status === 201, { timeoutMs: 60_000 })
  }
}

async function settled (change: () => Promise<Asked>): Promise<Asked> {
  let answer: Asked | undefined
  await until(async () => (answer = await change()).status !== 503, { timeoutMs: 60_000 })
  return answer!
}

const shown = async (replica: RunningReplica, { id }: MadeKey) => ({ ...await replica.shown(id), last_used_at: undefined })
/** What the first part has found of what was told as done; the failover must not change it. */
const done = { createdId: '', shown: [] as object[] }

t.test('a change whose wait for the standby was cancelled is told as not known, each repeat too, until the standby has it; then it is told as done, once', async (t) => {
  standby.cut()
  for (const change of [() => revoke(a, revoked), () => rotate(a, rotated), () => create(a, 'the creation')]) {
    const { status, body } = await cancelled(primary, change)
    t.equal(status, 503)
    t.match(body, unknown)
  }
  t.strictSame(await administer(primary.url, 'select count(*)::int as revoked from navis_keys.keys where revoked_at is not null'), [{ revoked: 1 }], 'the primary has what was asked for')
  t.strictSame(await administer(standby.url, 'select count(*)::int as revoked from navis_keys.keys where revoked_at is not null'), [{ revoked: 0 }])
  // What the primary has already is no reason to say that it is done: a failover would undo it.
  const repeats = await Promise.all([revoke(a, revoked), rotate(b, rotated), create(a, 'the creation'), create(b, 'the creation')])
  t.strictSame(repeats.map(({ status }) => status), [503, 503, 503, 503], 'the repeats wait for the standby as well')

  standby.heal()
  t.equal((await settled(async () => await revoke(a, revoked))).status, 204)
  const [again, made] = [await settled(async () => await rotate(b, rotated)), await settled(async () => await create(b, 'the creation'))]
  t.equal(again.status, 409)
  t.match(JSON.parse(again.body), { code: 'already_rotated', key_id: rotated.id })
  t.equal(made.status, 409)
  const { code, key_id: id } = JSON.parse(made.body) as { code: string, key_id: string }
  t.equal(code, 'already_created')
  done.createdId = id
  for (const replica of [a, b]) for (const { token } of [revoked, rotated]) await until(async () => await replica.status(token) === 401)
  done.shown = await Promise.all([revoked, rotated].map(async (key) => await shown(a, key)))
  t.match(done.shown[0], { status: 'revoked', revoked_by: 'tests' })
})

t.test('after a cancelled wait, changes that begin later are told as done', async (t) => {
  // The counter of cancelled waits is no longer what it was: changes that begin later are not concerned.
  for (let i = 0; i < 5; i++) t.equal((await a.edit(live.id, { name: `renamed ${i}` })).status, 200)
})

t.test('a failover undoes nothing of what was told as done', async (t) => {
  await standby.caughtUp()
  standby.cut()
  for (const change of [() => revoke(a, lostRevoked), () => rotate(a, lostRotated), () => create(a, 'the lost creation')]) t.match(await cancelled(primary, change), { status: 503, body: unknown })
  await failOver(primary, standby.url, [a, b])
  for (const [i, key] of [revoked, rotated].entries()) t.strictSame(await shown(b, key), done.shown[i], 'nothing is lost, and nothing was done twice')
  t.match(await b.shown(done.createdId), { id: done.createdId, name: 'made once', status: 'active' })
  const { body } = await request(b, 'GET', '?q=made%20once')
  t.equal((JSON.parse(body) as { keys: unknown[] }).keys.length, 1)
  for (const replica of [a, b]) for (const { token } of [revoked, rotated]) t.equal(await replica.status(token), 401)
  for (const replica of [a, b]) await until(async () => await replica.status(live.token) === 200)
})

t.test('a change whose wait was cancelled and that the standby never got was told as not known: after the failover the repeat does it', async (t) => {
  t.match(await b.shown(lostRevoked.id), { status: 'active', revoked_by: null }, 'it is lost')
  t.match(await b.shown(lostRotated.id), { rotated_at: null })
  const repeats = await Promise.all([revoke(b, lostRevoked), rotate(b, lostRotated), create(a, 'the lost creation')])
  t.strictSame(repeats.map(({ status }) => status), [204, 201, 201])
  for (const replica of [a, b]) for (const { token } of [lostRevoked, lostRotated]) t.equal(await replica.status(token), 401)
})
