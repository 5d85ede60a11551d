import { randomUUID } from 'node:crypto'
import type { Sql } from 'postgres'
import t, { type Test } from 'tap'
import type { Digest } from '../../src/core/key-record.ts'
import { borrow, connect, type Database } from '../../src/db/connect.ts'
import { PostgresKeyStore } from '../../src/db/key-store.ts'
import { prepareFindKeys } from '../../src/db/queries/find-keys.ts'
import type { Pool } from '../../src/db/replaceable-pool.ts'
import { PostgresWindowStore } from '../../src/db/window-store.ts'
import { freshDatabase } from '../support/servers.ts'

/* A driver, or a pooler, that hands a statement something else than its answer. */

type Rows = ReadonlyArray<Record<string, unknown>>

/** What becomes of the answers of one call, each in turn; `before` are the answers to the same call when all was well. */
interface Distortion {
  readonly name: string
  distort (rows: Rows, before: Rows): Rows
}

/** Changes one member of the JSON, or one column, of the last row that has any. */
const changed = (name: string, value: unknown) => (rows: Rows): Rows => rows.map((row) => {
  if (typeof row['answer'] === 'string') {
    const answer = JSON.parse(row['answer']) as Record<string, unknown>
    return name in answer ? { answer: JSON.stringify({ ...answer, [name]: value }) } : row
  }
  return name in row ? { ...row, [name]: value } : row
})

const distortions: readonly Distortion[] = [
  { name: 'an empty list', distort: () => [] },
  { name: 'one row less', distort: (rows) => rows.filter((row) => Object.keys(row).length > 0).slice(1) },
  { name: 'one row more', distort: (rows) => [...rows, ...rows.filter((row) => Object.keys(row).length > 0)] },
  { name: 'the answer of another statement', distort: () => [{ n: 1 }] },
  { name: 'an older answer of the same statement', distort: (_rows, before) => before },
  { name: 'the answer of a standby', distort: (rows) => changed('primary', false)(changed('is_primary', false)(rows)) },
  { name: 'a text for a number', distort: (rows) => changed('seq', 'seven')(rows) },
  { name: 'a number that is none', distort: (rows) => changed('seq', -1)(rows) },
  { name: 'nothing for a number', distort: (rows) => changed('seq', null)(rows) }
]

/** A client whose answers are distorted while `distort` is set, and kept while it is not. */
class Double {
  distort: Distortion['distort'] | undefined
  ended = 0
  #kept: Rows = []
  readonly sql: Sql

  constructor (sql: Sql) {
    const answered = (rows: Rows): Rows => {
      const flat = rows.flat() as unknown as Rows
      if (this.distort !== undefined) return this.distort(flat, this.#kept)
      if (flat.some((row) => Object.keys(row).length > 0)) this.#kept = flat
      return rows
    }
    this.sql = new Proxy(sql, {
      get: (target, name) => {
        if (name === 'end') return async () => { this.ended++ }
        if (name !== 'unsafe') return Reflect.get(target, name) as unknown
        return (...given: Parameters<Sql['unsafe']>) => {
          const query = target.unsafe(...given)
          return Object.assign(query.then((rows) => answered(rows)), { simple: async () => answered(await query.simple()) })
        }
      }
    })
  }
}

async function setup (t: Test) {
  const url = await freshDatabase(t)
  const { sql, schema, close } = connect({ url, max: 2 })
  t.teardown(close)
  const double = new Double(sql)
  return { double, sql, schema, db: borrow(double.sql, schema) }
}

const never = new AbortController().signal
const digest = '\u0007'.repeat(32) as Digest
const person = { workspaceId: 'acme', actor: 'ops' } as const

/** Calls it well once, and then with each distortion: it rejects each time, and says why. */
async function refusesEach (t: Test, double: Double, call: () => Promise<unknown>, { code, hasSeq = true }: { code?: string, hasSeq?: boolean } = {}): Promise<number> {
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
    ['endToken', async () => await store.endToken(key.digest)]
  ]
  let refused = 0
  const living = newKey()
  await store.create(living as never)
  const edits: typeof calls = [
    ['edit', async () => await store.edit({ ...person, keyId: living.id, name: 'another' } as never)],
    ['rotate', async () => await store.rotate({ ...person, keyId: living.id, digest: newKey().digest, hint: 'abcd…wxyz', graceSeconds: 0, graceStarts: 'now' } as never)],
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
