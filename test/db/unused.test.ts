import { sql } from 'drizzle-orm'
import { randomBytes, randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { v7 as uuidv7 } from 'uuid'
import { noPolicy, type Policy } from '../../src/core/policy.ts'
import { UnusedKeys } from '../../src/core/unused-keys.ts'
import type { CommittedChange } from '../../src/core/window/trust.ts'
import { connect } from '../../src/db/connect.ts'
import { setPolicy } from '../../src/db/queries/policies.ts'
import { unusedStep } from '../../src/db/queries/unused.ts'
import { recordGap } from '../../src/db/queries/usage.ts'
import { freshDatabase } from '../support/servers.ts'

interface KeyAges {
  readonly workspace?: string
  /** Days ago. */
  readonly made?: number
  readonly used?: number
  readonly told?: number
  readonly rotated?: number
}

async function setup (t: Test) {
  const { db, sql: client, close } = connect({ url: await freshDatabase(t), max: 6 })
  t.teardown(close)
  const { keys, tokens, keyUsage, walks, events, policies } = db.tables
  const ago = (days: number | undefined) => sql`clock_timestamp() - ${days ?? null}::float8 * interval '1 day'`
  const key = async ({ workspace = 'acme', made = 100, used, told, rotated }: KeyAges = {}) => {
    const id = uuidv7()
    await db.execute(sql`insert into ${keys} (id, workspace_id, name, scope, created_by, created_at, unused_notice_at, rotated_at) values (${id}, ${workspace}, 'n', 'mcp:read', 'ops', ${ago(made)}, ${ago(told)}, ${ago(rotated)})`)
    await db.execute(sql`insert into ${tokens} (digest, key_id, hint, made_at) select ${randomBytes(32)}, id, 'abcd…wxyz', coalesce(rotated_at, created_at) from ${keys} where id = ${id}`)
    if (used !== undefined) await db.execute(sql`insert into ${keyUsage} (key_id, workspace_id, last_used_at) values (${id}, ${workspace}, ${ago(used)})`)
    return id
  }
  const unusedDays = async (days: number | null, workspaceId = 'acme') => {
    await setPolicy(db, { workspaceId, actor: 'ops', policy: { ...noPolicy, unusedDays: days } })
    await db.execute(sql`update ${policies} set updated_at = ${ago(1000)}`)
  }
  const step = async (rowsMax = 1000, settings: Policy = noPolicy) => await unusedStep(db, { rowsMax, settings })
  /** A whole walk, as after an hour. */
  const walk = async (rowsMax = 1000, settings: Policy = noPolicy) => {
    await step(rowsMax, settings)
    await db.execute(sql`update ${walks} set next_at = clock_timestamp() - interval '1 second', place = null`)
    while ((await step(rowsMax, settings)).looked > 0);
  }
  const told = async () => (await db.execute<{ type: string, key_id: string, [column: string]: unknown }>(sql`select type, key_id from ${events} order by seq`)).map(({ type, key_id: id }) => [type, id])
  const revoked = async () => (await db.execute<{ id: string, [column: string]: unknown }>(sql`select id from ${keys} where revoked_at is not null and revoked_by = 'policy' and revoke_reason = 'unused' order by id`)).map(({ id }) => id)
  const later = async (days: number) => {
    await db.execute(sql`update ${keys} set unused_notice_at = unused_notice_at - ${days}::int * interval '1 day'`)
  }
  return { db, client, key, unusedDays, step, walk, told, revoked, later }
}

t.test('a key that is not used is told of, and revoked a week later; one that is used in between goes on', async (t) => {
  const { db, key, unusedDays, walk, told, revoked, later } = await setup(t)
  await unusedDays(30)
  const unused = await key({ used: 31 })
  const never = await key()
  const usedAgain = await key({ used: 40 })
  for (const ages of [{ used: 29 }, { made: 29 }, { made: 100, rotated: 29 }, { workspace: 'other', used: 90 }]) await key(ages)
  await walk()
  t.strictSame((await told()).sort(), [unused, never, usedAgain].map((id) => ['key.unused', id]).sort())
  await walk()
  t.equal((await told()).length, 3, 'once')
  await later(6)
  await walk()
  t.strictSame(await revoked(), [])
  await db.execute(sql`update ${db.tables.keyUsage} set last_used_at = clock_timestamp() where key_id = ${usedAgain}`)
  await later(2)
  await walk()
  t.strictSame(await revoked(), [unused, never].sort())
  t.strictSame((await told()).slice(3).map(([type]) => type), ['key.revoked', 'key.revoked'])
  const [log] = await db.execute<{ action: string, digests: number, [column: string]: unknown }>(sql`select action, cardinality(digests) as digests from ${db.tables.revocationLog}`)
  t.strictSame({ ...log }, { action: 'revoke', digests: 2 })
  t.equal((await db.execute(sql`select 1 from ${db.tables.audit} where action = 'key.revoked' and actor = 'policy'`)).length, 2)
})

t.test('a use after the notice counts although the key is unused for long enough again', async (t) => {
  const { key, unusedDays, walk, revoked, told } = await setup(t)
  await unusedDays(1)
  const id = await key({ told: 8, used: 6 })
  await walk()
  t.strictSame(await revoked(), [])
  await walk()
  t.strictSame(await told(), [['key.unused', id]], 'it is told of anew')
})

t.test('the setting counts in every workspace, and the stricter of the two', async (t) => {
  const { key, unusedDays, walk, told } = await setup(t)
  const settings = { ...noPolicy, unusedDays: 60 }
  await unusedDays(30, 'strict')
  await unusedDays(90, 'lax')
  const expected = [await key({ workspace: 'strict', used: 31 }), await key({ workspace: 'lax', used: 61 }), await key({ workspace: 'none', used: 61 })]
  for (const workspace of ['lax', 'none']) await key({ workspace, used: 59 })
  await walk(1000, settings)
  t.strictSame((await told()).map(([, id]) => id).sort(), expected.sort())
})

t.test('nothing is done while a replica cannot write uses, and what was lost counts as a use of every key', async (t) => {
  const { db, key, unusedDays, walk, told, revoked } = await setup(t)
  await unusedDays(30)
  const [old, noticed] = [await key({ used: 100 }), await key({ used: 100, told: 8 })]
  const id = randomUUID()
  await recordGap(db, { id, state: 'open' })
  await walk()
  t.strictSame([await told(), await revoked()], [[], []])
  await recordGap(db, { id, state: 'closed' })
  await walk()
  t.strictSame([(await told()).sort(), await revoked()], [[['key.revoked', noticed], ['key.unused', old]], [noticed]])
  await recordGap(db, { id, state: 'lost' })
  const other = await key({ used: 100 })
  await walk()
  t.equal((await told()).length, 2, 'any key may have been used')
  await db.execute(sql`update ${db.tables.usageGaps} set at = clock_timestamp() - interval '31 days'`)
  await walk()
  t.strictSame((await told()).slice(2), [['key.unused', other], ['key.unused', old]].sort((a, b) => a[1]! < b[1]! ? -1 : 1))
})

t.test('a replica that ended while it could not write uses holds nothing up for ever, and its end counts as a use', async (t) => {
  const { db, key, unusedDays, walk, told } = await setup(t)
  await unusedDays(30)
  await key({ used: 100 })
  await recordGap(db, { id: randomUUID(), state: 'open' })
  await db.execute(sql`update ${db.tables.usageGaps} set at = clock_timestamp() - interval '2 hours'`)
  await walk()
  t.strictSame(await told(), [])
  await db.execute(sql`update ${db.tables.usageGaps} set at = clock_timestamp() - interval '31 days'`)
  await walk()
  t.equal((await told()).length, 1)
})

t.test('a notice under another policy, or one that is long ago, is given again', async (t) => {
  const { db, key, unusedDays, walk, told, revoked } = await setup(t)
  await unusedDays(30)
  const [forgotten, changed] = [await key({ told: 15 }), await key({ told: 8 })]
  await db.execute(sql`update ${db.tables.policies} set updated_at = clock_timestamp() - interval '7 days'`)
  await walk()
  t.strictSame([(await told()).map(([, id]) => id).sort(), await revoked()], [[forgotten, changed].sort(), []])
})

t.test('many keys are revoked in small steps, each in one place of the log, and two replicas revoke each once', async (t) => {
  const { db, key, unusedDays, step, told, revoked } = await setup(t)
  await unusedDays(30)
  const ids: string[] = []
  for (let i = 0; i < 30; i++) ids.push(await key({ told: 8 }))
  const changes: CommittedChange[] = []
  const replica = () => new UnusedKeys({
    step: (rowsMax) => step(rowsMax),
    force: { inForce: async (change) => { changes.push(change); return 'fast' as const }, announce () {} },
    clock: { monotonicMs: () => 0 }
  })
  const [one, two] = [replica(), replica()]
  while ((await revoked()).length < 30) await Promise.all([one.step(7), two.step(7), one.step(7)])
  t.strictSame(await revoked(), ids)
  t.strictSame((await told()).map(([, id]) => id), ids)
  t.ok(changes.every(({ target }) => target.kind === 'key' && target.digests.length <= 8))
  t.equal(changes.reduce((sum, { target }) => sum + (target.kind === 'key' ? target.digests.length : 0), 0), 30)
  t.equal((await db.execute(sql`select 1 from ${db.tables.revocationLog}`)).length, changes.length)
})

t.test('a key that another transaction holds is left to the next walk', async (t) => {
  const { client, key, unusedDays, walk, revoked } = await setup(t)
  await unusedDays(30)
  const held = await key({ told: 8 })
  const free = await key({ told: 8 })
  const holder = await client.reserve()
  await holder`begin`
  await holder.unsafe(`select 1 from navis_keys.keys where id = '${held}' for update`)
  await walk()
  t.strictSame(await revoked(), [free])
  await holder`commit`
  holder.release()
  await walk()
  t.strictSame(await revoked(), [held, free].sort())
})
