import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Sql } from 'postgres'
import t, { type Test } from 'tap'
import { digestToBytes, type Digest } from '../../src/core/key-record.ts'
import type { RenewalAnswer } from '../../src/core/window/step.ts'
import type { Heard, OwnRow, Renewal } from '../../src/core/window/store.ts'
import { connect } from '../../src/db/connect.ts'
import { startEmbedded } from '../../src/db/embedded/embedded.ts'
import { PostgresKeyStore } from '../../src/db/key-store.ts'
import { borrowedPool } from '../../src/db/replaceable-pool.ts'
import { migrate } from '../../src/db/migrate.ts'
import { PostgresWindowStore } from '../../src/db/window-store.ts'
import { freshDatabase, until } from '../support/servers.ts'

const digest = '\u0000'.repeat(16) + '\u00ff'.repeat(16) as Digest
const other = '\u0001'.repeat(32) as Digest
const never = new AbortController().signal
const later = () => Date.now() + 60_000
const windowMs = 10_000

/** A member as its replica would keep it: which beats its row may bear. */
class Member {
  readonly id = randomUUID()
  beats: string[] = [this.id]
  readonly #store: PostgresWindowStore

  constructor (store: PostgresWindowStore) {
    this.#store = store
  }

  get own (): OwnRow {
    const { id, beats } = this
    return { id, beats, isOwnBeat: (beat) => this.beats.includes(beat) }
  }

  async join (changes: { formerId?: string, windowMs?: number } = {}): Promise<Uint8Array> {
    return (await this.#store.join({ id: this.id, formerId: undefined, windowMs, ...changes }, never)).rowSecret
  }

  async renew (changes: Partial<Renewal> = {}): Promise<RenewalAnswer> {
    const beat = randomUUID()
    const answer = await this.#store.renew({ id: this.id, beat, beats: this.beats, applied: 0, givesUpLineage: false, rowsMax: 100, ...changes }, never)
    if (answer.row === 'alive') this.beats = [beat]
    return answer
  }
}

async function setup (t: Test, { url }: { url?: string } = {}) {
  const databaseUrl = url ?? await freshDatabase(t)
  const { db, sql, close } = connect({ url: databaseUrl, max: 4 })
  const store = new PostgresWindowStore({ connect: () => connect({ url: databaseUrl, max: 1 }) })
  t.teardown(async () => { await store.close(); await close() })
  const log = async (action: string, target: { digests?: Digest[], workspaceId?: string } = {}) => {
    const digests = target.digests === undefined ? null : `{${target.digests.map((one) => `"\\\\x${digestToBytes(one).toString('hex')}"`).join()}}`
    await sql.begin(async (tx) => {
      const [clock] = await tx<[{ seq: string }]>`update navis_keys.revocation_clock set seq = seq + 1 returning seq`
      await tx`insert into navis_keys.revocation_log (seq, action, digests, workspace_id) values (${clock.seq}, ${action}, ${digests}::text::bytea[], ${target.workspaceId ?? null})`
    })
  }
  const longest = async () => (await sql<[{ window_ms: number }]>`select window_ms from navis_keys.revocation_clock`)[0].window_ms
  const living = async () => [...await sql<Array<{ id: string, acked: number, lineage: string | null }>>`select id, acked::int, lineage from navis_keys.window_members where dead_at is null`]
  return { url: databaseUrl, db, sql, store, member: () => new Member(store), one: new Member(store), log, longest, living }
}

async function renewsAsItShould (t: Test, { one, log, store }: Awaited<ReturnType<typeof setup>>): Promise<void> {
  t.equal((await one.renew()).row, 'missing', 'a stranger is not alive')
  await one.join()
  const before = Date.now()
  const first = await one.renew()
  t.match(first, { row: 'alive', seq: 0, rows: [], windowMs, lineage: undefined })
  t.match(first.history, { lineage: /^[0-9a-f-]{36}$/, former: undefined, timeline: /^\d+\/[0-9A-F]{8}$/, serverStart: /^\d+$/ })
  t.ok(Math.abs(first.databaseTime - before) < 5000, 'the time of the database is in milliseconds since the epoch')

  await log('revoke', { digests: [digest, other] })
  await log('change', { workspaceId: 'acme' })
  await log('revoke')
  const second = await one.renew()
  t.strictSame(second.rows, [
    { seq: 1, action: 'revoke', target: { kind: 'key', digests: [digest, other] } },
    { seq: 2, action: 'change', target: { kind: 'workspace', workspaceId: 'acme' } },
    { seq: 3, action: 'revoke', target: { kind: 'everything' } }
  ])
  t.equal(second.seq, 3)
  t.strictSame((await one.renew({ rowsMax: 2 })).rows.map((row) => row.seq), [2, 3], 'the newest, oldest first')
  t.strictSame((await one.renew({ applied: 2 })).rows.map((row) => row.seq), [3])
  t.match(await store.roll(one.own, never), { seq: 3, members: [{ id: one.id, acked: 2, beat: one.beats[0], windowMs }] })
}

t.test('a renewal reads the log and acknowledges what was applied', async (t) => {
  await renewsAsItShould(t, await setup(t))
})

t.test('how the history is told is asked at each statement: a connection that was opened before a change asks as the others do', async (t) => {
  const { url } = await setup(t)
  const told = (serverStart: string) => ({ timeline: "'/'", serverStart: `'${serverStart}'` })
  let strategy = told('before')
  const store = new PostgresWindowStore({ connect: () => ({ ...connect({ url, max: 1 }), history: () => strategy }) })
  t.teardown(() => store.close())
  const one = new Member(store)
  await one.join()
  t.equal((await one.renew()).history.serverStart, 'before')
  strategy = told('after')
  t.equal((await one.renew()).history.serverStart, 'after')
})

t.test('the embedded database understands the same statements', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'navis-window-'))
  const embedded = await startEmbedded({ dataDir })
  t.teardown(async () => { await embedded.stop(); rmSync(dataDir, { recursive: true, force: true }) })
  await migrate(embedded.url)
  const setting = await setup(t, { url: embedded.url })
  await renewsAsItShould(t, setting)
  const { store, one, living } = setting
  t.equal(await store.found(one.own, randomUUID(), never), true)
  t.equal(await store.admit(one.own, later(), never), 0)
  t.equal(await store.countOut(one.id, randomUUID(), never), false)
  const { history: { lineage } } = await one.renew()
  t.match(await store.putBack(one.own, heard(lineage, [digest]), never), { revoked: [], change: undefined })
  t.equal(await store.prune(1, never), 2)
  await store.leave(one.id, never)
  t.strictSame(await living(), [])
})

t.test('a row is renewed only where it bears a beat that was sent last, or since then without an answer', async (t) => {
  const { one, sql } = await setup(t)
  await one.join()
  const unanswered = randomUUID()
  t.equal((await one.renew({ beats: [randomUUID(), one.id] })).row, 'alive')
  t.equal((await one.renew({ beats: [one.id] })).row, 'missing', 'an older beat of ours is one of another history')
  t.equal((await one.renew({ beats: [] })).row, 'missing')
  await sql`update navis_keys.window_members set beat = ${unanswered}`
  t.equal((await one.renew()).row, 'missing')
  t.equal((await one.renew({ beats: [randomUUID(), unanswered] })).row, 'alive')
})

t.test('an acknowledgement never goes back, and never passes the clock', async (t) => {
  const { one, log, living } = await setup(t)
  await one.join()
  for (let i = 0; i < 3; i++) await log('revoke')
  await one.renew({ applied: 2 })
  await one.renew({ applied: 1 })
  t.match(await living(), [{ acked: 2 }])
  await one.renew({ applied: 1000 })
  t.match(await living(), [{ acked: 3 }])
})

t.test('a renewal is a write: a primary that cannot commit refuses it, is counted, and is let go of with all that leads to it', async (t) => {
  const { url, one, sql } = await setup(t)
  await one.join()
  await sql.unsafe(`alter database ${new URL(url).pathname.slice(1)} set default_transaction_read_only = on`)
  let elsewhere = 0
  const readOnly = new PostgresWindowStore({ connect: () => connect({ url, max: 1 }), onNotPrimary: () => { elsewhere++ } })
  t.teardown(() => readOnly.close())
  await t.rejects(readOnly.renew({ id: one.id, beat: randomUUID(), beats: one.beats, applied: 0, givesUpLineage: false, rowsMax: 10 }, never), { code: '25006' })
  t.equal(elsewhere, 1)
  t.equal(readOnly.answersRefused, 1)
})

t.test('however many changes commit at once, a renewal never sees one without all that came before it', async (t) => {
  const { db, one } = await setup(t)
  await one.join()
  const keys = new PostgresKeyStore({ pool: borrowedPool(db, (host) => host) })
  const over = new AbortController()
  const changes = Promise.all(Array.from({ length: 40 }, (_, i) => keys.revokeWorkspace({ workspaceId: `w${i}`, actor: 'test', reason: undefined }))).finally(() => { over.abort() })
  let applied = 0
  let renewals = 0
  do {
    const { seq, rows } = await one.renew({ applied })
    t.strictSame(rows.map((row) => row.seq), Array.from({ length: seq - applied }, (_, i) => applied + 1 + i))
    applied = seq
    renewals++
  } while (!over.signal.aborted)
  await changes
  t.ok(renewals > 1)
})

t.test('the clock shows the longest window of any living member', async (t) => {
  const { store, member, longest } = await setup(t)
  const [short, long] = [member(), member()]
  await long.join({ windowMs: 60_000 })
  await short.join()
  t.equal(await longest(), 60_000)
  await store.leave(long.id, never)
  t.equal(await longest(), 10_000)
  await store.leave(short.id, never)
  t.equal(await longest(), 0)
})

t.test('members that join at the same moment all count towards the longest window', async (t) => {
  const { url, longest } = await setup(t)
  await Promise.all([10_000, 60_000, 20_000].map(async (length) => {
    const store = new PostgresWindowStore({ connect: () => connect({ url, max: 1 }) })
    await new Member(store).join({ windowMs: length })
    await store.close()
  }))
  t.equal(await longest(), 60_000)
})

t.test('joining twice under one id leaves one member, and does not bring a dead one back; the former id is dead at once', async (t) => {
  const { store, one, member, living } = await setup(t)
  await one.join()
  await one.join()
  t.equal((await living()).length, 1)
  t.equal(await store.countOut(one.id, one.id, never), true)
  await one.join()
  t.equal((await one.renew()).row, 'dead')
  const [former, next] = [member(), member()]
  await former.join()
  await next.join({ formerId: former.id })
  t.strictSame((await living()).map(({ id }) => id), [next.id])
})

t.test('a member that has renewed since it was looked at is not counted out; one that has not is fenced', async (t) => {
  const { store, one, living } = await setup(t)
  await one.join()
  const [seen] = one.beats
  await one.renew()
  t.equal(await store.countOut(one.id, seen as string, never), false)
  t.equal((await one.renew()).row, 'alive')
  t.equal(await store.countOut(one.id, one.beats[0] as string, never), true)
  t.equal(await store.countOut(one.id, one.beats[0] as string, never), false)
  t.equal((await one.renew()).row, 'dead')
  t.strictSame(await living(), [])
})

t.test('a roll in which we are not, or not with a beat of ours, says nothing', async (t) => {
  const { store, one, member } = await setup(t)
  await one.join()
  t.match(await store.roll(one.own, never), { members: [{ id: one.id }] })
  await t.rejects(store.roll({ ...one.own, isOwnBeat: () => false }, never), { name: 'AnswerRefused' })
  await t.rejects(store.roll(member().own, never), { name: 'AnswerRefused' })
  t.equal(store.answersRefused, 2)
  await store.roll(one.own, never)
})

t.test('a lineage is founded by one of many, only where no living member bears the clock\'s, and then given to the others', async (t) => {
  const { store, member, living, sql } = await setup(t)
  const members = [member(), member(), member()]
  for (const one of members) await one.join()
  const founded = await Promise.all(members.map((one) => store.found(one.own, randomUUID(), never)))
  t.equal(founded.filter(Boolean).length, 1)
  const founder = members[founded.indexOf(true)]!
  const outsiders = members.filter((one) => one !== founder)
  const { lineage, history } = await founder.renew()
  t.equal(lineage, history.lineage)
  t.match(history.former, /^[0-9a-f-]{36}$/)
  t.equal((await outsiders[0]!.renew()).lineage, undefined)

  t.equal(await store.admit(outsiders[0]!.own, later(), never), 0, 'who has no lineage gives none')
  t.equal(await store.admit({ ...founder.own, beats: [randomUUID()] }, later(), never), 0, 'nor does a row that is not ours')
  t.equal(await store.admit(founder.own, Date.now() - 60_000, never), 0, 'nor a statement that is carried out too late')
  t.equal(await store.admit(founder.own, later(), never), 2)
  t.ok((await living()).every((row) => row.lineage === lineage))

  t.equal((await founder.renew({ givesUpLineage: true })).lineage, undefined)
  t.equal(await store.found(founder.own, randomUUID(), never), false, 'others bear it still')
  for (const one of outsiders) t.equal((await one.renew({ givesUpLineage: true })).lineage, undefined)
  t.equal(await store.found(founder.own, randomUUID(), never), true)
  const [clock] = await sql<[{ former: string }]>`select former from navis_keys.revocation_clock`
  t.equal(clock.former, lineage)
  t.equal(await store.found({ ...outsiders[0]!.own, beats: [randomUUID()] }, randomUUID(), never), false)
})

/** Two keys with a token each, not revoked. */
const heard = (lineage: string, digests: readonly Digest[], heardBy?: string): Heard => ({ lineage, heardBy, digests })

async function makeKeys (sql: Sql): Promise<void> {
  for (const [i, one] of [digest, other].entries()) {
    const id = randomUUID()
    await sql`insert into navis_keys.keys (id, workspace_id, name, scope, created_by) values (${id}, 'acme', ${`key ${i}`}, 'mcp:read', 'test')`
    await sql`insert into navis_keys.tokens (digest, key_id, hint) values (${digestToBytes(one)}, ${id}, 'hint')`
  }
}

t.test('revocations that were lost are put back once, in one place of the log, in the lineage that knew them or the one after it', async (t) => {
  const { store, one, member, sql } = await setup(t)
  await makeKeys(sql)
  await one.join()
  await store.found(one.own, randomUUID(), never)
  const { history: { lineage } } = await one.renew()
  const revokedBy = async () => (await sql<Array<{ by: string | null }>>`select revoked_by as by from navis_keys.keys order by name`).map(({ by }) => by)

  await t.rejects(store.putBack(one.own, heard(randomUUID(), [digest]), never), 'nothing in another lineage')
  await t.rejects(store.putBack(member().own, heard(lineage, [digest]), never), 'nothing by who is no member')
  t.match(await store.putBack(one.own, heard(lineage, [digest], randomUUID()), never), { revoked: [], change: undefined }, 'nothing that was heard by who was never here')
  t.strictSame(await revokedBy(), [null, null])

  const first = await store.putBack(one.own, heard(lineage, [digest]), never)
  t.match(first, { revoked: [digest], change: { seq: 1, windowMs, action: 'revoke', target: { kind: 'key', digests: [digest] } } })
  t.strictSame(await revokedBy(), ['navis-keys', null])
  t.match(await store.putBack(one.own, heard(lineage, [digest]), never), { revoked: [], change: undefined })
  t.match((await one.renew()).rows, [{ seq: 1, action: 'revoke', target: { digests: [digest] } }])

  await one.renew({ givesUpLineage: true })
  await store.found(one.own, randomUUID(), never)
  const counted = member()
  await counted.join()
  await store.countOut(counted.own.id, counted.own.beats[0]!, never)
  t.match(await store.putBack(one.own, heard(lineage, [digest, other], counted.own.id), never), { revoked: [other], change: { seq: 2 } })
  t.strictSame(await revokedBy(), ['navis-keys', 'navis-keys'])
  const [audited] = await sql`select count(*)::int as rows from navis_keys.audit where action = 'key.revoked' and actor = 'navis-keys'`
  t.match(audited, { rows: 2 })
  const events = await sql`select type, data->'key'->>'revoked_by' as revoked_by, data->'key'->>'status' as status from navis_keys.events`
  t.strictSame(events.map((event) => ({ ...event })), [0, 1].map(() => ({ type: 'key.revoked', revoked_by: 'navis-keys', status: 'revoked' })))
})

t.test('the log keeps its newest rows, and the clock shows up to where it was pruned', async (t) => {
  const { store, sql } = await setup(t)
  await sql`insert into navis_keys.revocation_log (seq, action) select n, 'revoke' from generate_series(1, 2500) n`
  await sql`update navis_keys.revocation_clock set seq = 2500`
  t.strictSame([await store.prune(100, never), await store.prune(100, never), await store.prune(100, never), await store.prune(100, never)], [1000, 1000, 400, 0])
  const [left] = await sql`select count(*)::int, min(seq)::int, (select pruned_to from navis_keys.revocation_clock)::int as pruned_to from navis_keys.revocation_log`
  t.match(left, { count: 100, min: 2401, pruned_to: 2400 })
})

t.test('a renewal that is given up does not hold up the next one, and may still be carried out', async (t) => {
  const { store, sql, one } = await setup(t)
  await one.join()
  let release = () => {}
  let lock: Promise<unknown> = Promise.resolve()
  await new Promise<void>((resolve) => {
    lock = sql.begin(async (tx) => {
      await tx`select from navis_keys.window_members for update`
      await new Promise<void>((_resolve) => { release = _resolve; resolve() })
    })
  })
  const controller = new AbortController()
  const beat = randomUUID()
  const stuck = store.renew({ id: one.id, beat, beats: one.beats, applied: 0, givesUpLineage: false, rowsMax: 10 }, controller.signal)
  await until(async () => (await sql`select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`).count === 1)
  controller.abort()
  await t.rejects(stuck, { name: 'AbortError' })
  release()
  await lock
  t.equal((await one.renew({ beats: [...one.beats, beat] })).row, 'alive')
})

t.test('the answer of a joining holds the secret that rows and announcements are signed with', async (t) => {
  const { sql, one } = await setup(t)
  const rowSecret = await one.join()
  const [clock] = await sql<[{ row_secret: Buffer }]>`select row_secret from navis_keys.revocation_clock`
  t.equal(rowSecret.length, 32)
  t.ok(clock.row_secret.equals(rowSecret))
})
