import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import type { Digest } from '../../src/core/key-record.ts'
import { noPolicy } from '../../src/core/policy.ts'
import { borrow, connect, type Database } from '../../src/db/connect.ts'
import { PostgresKeyStore } from '../../src/db/key-store.ts'
import { prepareFindKeys } from '../../src/db/queries/find-keys.ts'
import type { Pool } from '../../src/db/replaceable-pool.ts'
import { PostgresUpkeepStore } from '../../src/db/upkeep-store.ts'
import { PostgresUsageStore } from '../../src/db/usage-store.ts'
import { PostgresWindowStore } from '../../src/db/window-store.ts'
import { changed, distortions, DriverDouble } from '../support/driver-double.ts'
import { freshDatabase } from '../support/servers.ts'

/* A driver, or a pooler, that hands a statement something else than its answer. */

async function setup (t: Test) {
  const url = await freshDatabase(t)
  const { sql, schema, close } = connect({ url, max: 2 })
  t.teardown(close)
  const double = new DriverDouble(sql)
  return { double, sql, schema, db: borrow(double.sql, schema) }
}

const never = new AbortController().signal
const digest = '\u0007'.repeat(32) as Digest
const person = { workspaceId: 'acme', actor: 'ops' } as const

/** Calls it well once, and then with each distortion: it rejects each time, and says why. */
async function refusesEach (t: Test, double: DriverDouble, call: () => Promise<unknown>, { code, hasSeq = true }: { code?: string, hasSeq?: boolean } = {}): Promise<number> {
  await call()
  const tried = distortions.filter(({ name }) => hasSeq || !name.includes('number'))
  for (const { name, distort } of tried) {
    double.distort = distort
    await t.rejects(call(), code === undefined ? { message: /An answer of the database was refused/ } : { code }, name)
    double.distort = undefined
  }
  return tried.length
}

t.test('a renewal, a roll, a joining, an admission, a founding and a counting out believe only an answer that proves itself, and give the connection up', async (t) => {
  const { double, sql, schema } = await setup(t)
  const store = new PostgresWindowStore({ connect: () => ({ sql: double.sql, schema }) })
  const id = randomUUID()
  let beats: string[] = [id]
  const own = () => ({ id, beats, isOwnBeat: (beat: string) => beats.includes(beat) })
  const calls: ReadonlyArray<readonly [string, () => Promise<unknown>, { hasSeq?: boolean }?]> = [
    ['join', async () => await store.join({ id, formerId: undefined, windowMs: 1000 }, never), { hasSeq: false }],
    ['renew', async () => {
      const beat = randomUUID()
      const sent = [...beats]
      // What was refused may have been carried out all the same.
      beats = [...beats, beat]
      return await store.renew({ id, beat, beats: sent, applied: 0, givesUpLineage: false, rowsMax: 10 }, never)
    }],
    ['roll', async () => await store.roll(own(), never)],
    ['admit', async () => await store.admit(own(), Date.now() + 60_000, never), { hasSeq: false }],
    ['found', async () => await store.found(own(), randomUUID(), never), { hasSeq: false }],
    ['countOut', async () => await store.countOut(randomUUID(), randomUUID(), never), { hasSeq: false }],
    ['prune', async () => await store.prune(1, never), { hasSeq: false }],
    ['putBack', async () => { await store.putBack(own(), { lineage, heardBy: undefined, digests: [digest] }, never) }, { hasSeq: false }]
  ]
  const [{ lineage } = { lineage: '' }] = await sql<Array<{ lineage: string }>>`select lineage from navis_keys.revocation_clock`
  let refused = 0
  for (const [name, call, options] of calls) {
    await t.test(name, async (t) => {
      refused += await refusesEach(t, double, call, options)
      t.equal(store.answersRefused, refused, 'each is counted')
      t.ok(double.ended >= refused, 'and the connection is given up')
    })
  }
  await t.test('a roll with a member less than it counts is none', async (t) => {
    double.distort = (rows) => rows.map(({ answer }) => {
      const roll = JSON.parse(answer as string) as { members: unknown[] }
      return { answer: JSON.stringify({ ...roll, members: [...roll.members, ...roll.members] }) }
    })
    await t.rejects(store.roll(own(), never), { name: 'AnswerRefused', message: /count/ })
    double.distort = changed('members', [])
    await t.rejects(store.roll(own(), never), { name: 'AnswerRefused' })
    double.distort = undefined
  })
})

t.test('no change returns on an answer that does not prove itself: it is not known whether it was made', async (t) => {
  const { double, db } = await setup(t)
  let replaced = 0
  const pool: Pool<Database> = { queries: db, replace () { replaced++ }, async close () {} }
  const store = new PostgresKeyStore({ pool })
  const newKey = () => ({
    id: randomUUID(), digest: Buffer.from(randomUUID().padEnd(32, '0')).toString('latin1').slice(0, 32) as Digest, hint: 'abcd…wxyz', workspaceId: 'acme', ownerId: null, name: 'n', scope: 'mcp:read', metadata: {}, createdBy: 'ops', expiresAt: null, allowedCidrs: null, rateLimit: null
  }) as const
  const key = newKey()
  await store.create(key as never)
  const keyId = key.id
  const calls: ReadonlyArray<readonly [string, () => Promise<unknown>, boolean?]> = [
    ['revoke', async () => await store.revoke({ ...person, keyId, reason: undefined })],
    ['revokeWorkspace', async () => await store.revokeWorkspace({ ...person, reason: undefined })],
    ['revokeOwner', async () => await store.revokeWorkspace({ ...person, ownerId: 'someone', reason: undefined })],
    ['applyPolicy', async () => await store.applyPolicy(person)],
    ['setPolicy', async () => { await store.setPolicy({ ...person, policy: { maxLifetimeDays: null, defaultLifetimeDays: null, unusedDays: null } }) }, false],
    ['revokeLeaked', async () => await store.revokeLeaked([{ digest: key.digest, url: undefined, source: undefined }], 'ops')],
    ['endToken', async () => await store.endToken(key.digest)],
    ['import', async () => await store.import({ workspaceId: 'acme', actor: 'ops', keys: [{ ...newKey(), createdAt: undefined, expiresAt: undefined } as never] }), false],
    ['eraseOwner', async () => await store.eraseOwner({ ...person, ownerId: 'someone' }), false]
  ]
  let refused = 0
  const living = newKey()
  await store.create(living as never)
  const edits: typeof calls = [
    ['edit', async () => await store.edit({ ...person, keyId: living.id, name: 'another' } as never)],
    ['rotate', async () => await store.rotate({ ...person, keyId: living.id, digest: newKey().digest, hint: 'abcd…wxyz', graceSeconds: 0, graceStarts: 'now' } as never)],
    ['recordFirstUse', async () => await store.recordFirstUse({ keyId: living.id, ageMs: 1 }), false],
    ['create', async () => await store.create(newKey() as never), false]
  ]
  for (const [name, call, hasSeq = true] of [...edits, ...calls]) {
    await t.test(name, async (t) => {
      refused += await refusesEach(t, double, call, { code: 'unavailable', hasSeq })
      t.equal(store.answersRefused, refused, 'each is counted')
      t.ok(replaced > 0, 'the connections are given up')
    })
  }
})

t.test('a change of a key that is not there is answered by a row that says so', async (t) => {
  const { db } = await setup(t)
  const store = new PostgresKeyStore({ pool: { queries: db, replace () {}, async close () {} } })
  const keyId = randomUUID()
  t.equal(await store.revoke({ ...person, keyId, reason: undefined }), undefined)
  t.match(await store.edit({ ...person, keyId, name: 'another' } as never), { outcome: 'missing' })
  t.match(await store.rotate({ ...person, keyId, digest, hint: 'abcd…wxyz', graceSeconds: 0, graceStarts: 'now' } as never), { outcome: 'missing' })
  t.equal(await store.recordFirstUse({ keyId, ageMs: 1 }), undefined)
  t.match(await store.endToken(digest), { known: new Map(), change: undefined })
  t.match(await store.revokeLeaked([{ digest, url: undefined, source: undefined }], 'ops'), { known: new Map(), change: undefined })
})

t.test('a read of keys says nothing unless its answer proves itself', async (t) => {
  const { double, db } = await setup(t)
  const find = prepareFindKeys(db)
  await refusesEach(t, double, async () => await find([digest]))
  double.distort = changed('keys', [])
  await t.rejects(find([digest]), { name: 'AnswerRefused' }, 'a list with a key less')
})

t.test('a step that revokes what nobody uses believes only an answer that proves itself', async (t) => {
  const { double, db } = await setup(t)
  let replaced = 0
  const store = new PostgresUpkeepStore({ pool: { queries: db, replace () { replaced++ }, async close () {} }, policy: { ...noPolicy, unusedDays: 30 } })
  const refused = await refusesEach(t, double, async () => await store.unusedStep(10), { hasSeq: false })
  t.equal(store.answersRefused, refused, 'each is counted')
  t.equal(replaced, refused, 'and the connections are given up')
})

t.test('what an answer that does not prove itself was to tell is not known: an outage, and nothing internal', async (t) => {
  const { double, db } = await setup(t)
  let replaced = 0
  const reads: Pool<Database> = { queries: db, replace () { replaced++ }, async close () {} }
  const store = new PostgresUsageStore({ reads, writes: reads })
  const refused = await refusesEach(t, double, async () => await store.sharedSecret(), { code: 'unavailable', hasSeq: false })
  t.equal(replaced, refused)
})
