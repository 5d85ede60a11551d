import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { v7 as uuidv7 } from 'uuid'
import { unavailable } from '../../src/core/errors.ts'
import type { NewKey } from '../../src/core/key-store.ts'
import { TokenFormat } from '../../src/core/token.ts'
import { isCancelledWait, refuseCancelledWait } from '../../src/db/cancelled-wait.ts'
import { connect } from '../../src/db/connect.ts'
import { PostgresKeyStore } from '../../src/db/key-store.ts'
import { migrate } from '../../src/db/migrate.ts'
import { hasCause } from '../../src/db/outage.ts'
import { PostgresUsageStore } from '../../src/db/usage-store.ts'
import { openDatabases } from '../../src/engine/open-databases.ts'
import { PgBouncer } from '../support/pgbouncer.ts'
import { startPostgres, until } from '../support/servers.ts'
import { followingStandby } from '../window/following-standby.ts'

/*
 * An administrator cancels the wait of one commit for a synchronous standby. Real servers, and a real standby behind a link that can be held: it is not known of that change whether the
 * standby has it, and every other one is answered as usual.
 */

t.setTimeout(240_000)

const roundsMax = 20
const unknown = /It is not known whether the standby has the change/
const tokens = new TokenFormat()

function newKey (): NewKey {
  const { digest, hint } = tokens.mint()
  return { id: uuidv7(), digest, hint, workspaceId: 'acme', ownerId: null, name: 'a key', scope: 'mcp:read', metadata: {}, expiresAt: null, createdBy: 'ops' }
}

async function setup (t: Test) {
  const primary = await startPostgres(t)
  await migrate(primary.url)
  const standby = await followingStandby(t, primary)
  const { sql, close } = connect({ url: primary.url, max: 1, applicationName: 'the administrator' })
  t.teardown(close)
  await sql`alter system set synchronous_standby_names = 'ANY 1 (*)'`
  await sql`select pg_reload_conf()`
  await until(async () => (await sql`select sync_state from pg_stat_replication`)[0]?.sync_state === 'quorum')
  /** The processes of the server that work for others at this moment, and those of them whose commit waits for the standby. */
  const backends = async () => {
    const rows = await sql<Array<{ pid: number, waits: boolean }>>`
      select pid, coalesce(wait_event = 'SyncRep', false) as waits from pg_stat_activity where backend_type = 'client backend' and state = 'active' and pid <> pg_backend_pid()`
    return { active: rows.map(({ pid }) => pid), waiting: rows.filter(({ waits }) => waits).map(({ pid }) => pid) }
  }
  const cancel = async (pid: number) => { await sql`select pg_cancel_backend(${pid}::int)` }
  return { primary, standby, backends, cancel }
}

type Outcome = 'done' | 'not known' | 'given up'

/** A change whose answer may take longer than the store waits, on a busy machine, is given up: that says nothing, and the round is repeated. */
const outcomeOf = async (change: Promise<unknown>): Promise<Outcome> => await change.then(() => 'done', (error: Error) => {
  if (unknown.test(error.message)) return 'not known'
  if ((error as { code?: string }).code !== unavailable('').code) throw error
  return 'given up'
})

// One pair of servers for all: each test leaves the link as it was.
const { primary, standby, backends, cancel } = await setup(t)

for (const through of ['directly', 'through a transaction pooler'] as const) {
  t.test(`of two changes on two connections, ${through}, only the one whose wait was cancelled is told as not known`, async (t) => {
    const databases = openDatabases({ databaseUrl: through === 'directly' ? primary.url : `${(await PgBouncer.start(t, primary.url)).url}?pgbouncer=true` })
    t.teardown(async () => { await databases.close() })
    const store = new PostgresKeyStore({ pool: databases.management, onFailure: databases.noteFailure })
    const usage = new PostgresUsageStore({ reads: databases.management, writes: databases.management })
    const used = newKey()
    await store.create(used)
    const revoke = async () => {
      const key = newKey()
      await store.create(key)
      return async () => await store.revoke({ workspaceId: 'acme', actor: 'ops', keyId: key.id, reason: undefined })
    }
    const create = async () => async () => await store.create(newKey())
    const batch = { id: randomUUID(), uses: [{ keyId: used.id, ageMs: 1000, accepted: 7, refused: {}, user: undefined, tools: [] }] }
    const countUses = async () => async () => {
      await usage.recordUses(batch).catch((error: unknown) => {
        if (!hasCause(error, isCancelledWait)) throw error
        throw unavailable('It is not known whether the standby has the change')
      })
    }
    // A revocation holds the row of the clock while its commit waits: another one waits for that row first.
    for (const { name, first, second } of [
      { name: 'a creation beside a revocation', first: revoke, second: create },
      { name: 'a revocation beside a revocation', first: revoke, second: revoke },
      { name: 'a revocation beside a batch of uses', first: countUses, second: revoke }
    ]) {
      let seen: readonly Outcome[] = []
      for (let round = 0; round < roundsMax && !(seen[0] === 'not known' && seen[1] !== 'given up'); round++) {
        const [begin, beginOther] = [await first(), await second()]
        await standby.cut()
        const cancelled = outcomeOf(begin())
        await until(async () => (await backends()).waiting.length === 1)
        const [pid] = (await backends()).waiting
        const other = outcomeOf(beginOther())
        await until(async () => (await backends()).active.length === 2)
        if (pid !== undefined) await cancel(pid)
        const outcome = await cancelled
        await standby.heal()
        seen = [outcome, await other]
        await until(async () => (await backends()).active.length === 0)
      }
      t.strictSame(seen, ['not known', 'done'], name)
    }
    const uses = async () => (await usage.usage({ workspaceId: 'acme', keyId: used.id, from: '2000-01-01', to: '2100-01-01' }))?.days.map(({ accepted }) => accepted)
    await usage.recordUses(batch)
    t.strictSame(await uses(), [7], 'the batch whose wait was cancelled is sent again and counts once')
  })
}

t.test('of two statements that wait on one connection, only the one whose wait was cancelled is rejected, and the connection goes on', async (t) => {
  const { sql, close } = connect({ url: primary.url, max: 1, onnotice: refuseCancelledWait })
  t.teardown(close)
  await sql`create table public.numbers (n int)`
  const pidOf = async () => (await sql`select pg_backend_pid() as pid`)[0]?.pid as number
  const pid = await pidOf()
  await standby.cut()
  const outcome = async (statement: Promise<readonly unknown[]>) => await statement.then((rows) => rows.length, (error: unknown) => isCancelledWait(error) ? 'not known' : error)
  const [first, second] = [outcome(sql`insert into public.numbers values (1) returning n`), outcome(sql`insert into public.numbers values (2) returning n`)]
  await until(async () => (await backends()).waiting.length === 1)
  await cancel(pid)
  t.equal(await first, 'not known')
  await until(async () => (await backends()).waiting.length === 1)
  await standby.heal()
  t.equal(await second, 1)
  // In one message, the first statement of which waits for nothing.
  await standby.cut()
  const both = outcome(sql.unsafe('select 1; insert into public.numbers values (3)').simple())
  await until(async () => (await backends()).waiting.length === 1)
  await cancel(pid)
  t.equal(await both, 'not known')
  await standby.heal()
  t.equal(await pidOf(), pid)
  t.strictSame((await sql`select n from public.numbers order by n`).map(({ n }) => n as number), [1, 2, 3], 'the primary has them all')
})
