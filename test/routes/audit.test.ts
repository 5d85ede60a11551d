import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { csvRecords } from '../../src/cli/csv-records.ts'
import { management, setupApp } from './setup.ts'

const second = 'another-administrator-of-the-tests-0123456789'
const path = '/v1/workspaces/acme/audit'

t.test('the audit trail is found by key, actor and time, a page at a time, and every page as a spreadsheet', async (t) => {
  const { app, ask, create } = await setupApp(t, { environment: { MANAGEMENT_TOKENS: `ops=${management},second=${second}` } })
  const one = await create({ name: 'one' })
  const two = await create({ name: '=cmd|two' })
  await create({ name: 'elsewhere' }, 'other')
  await ask('PATCH', `/v1/workspaces/acme/keys/${one.id}`, { payload: { name: 'renamed' }, headers: { authorization: `Bearer ${second}` } })
  const between = new Date(Date.now() + 1).toISOString()
  await new Promise((resolve) => { setTimeout(resolve, 5) })
  await ask('DELETE', `/v1/workspaces/acme/keys/${two.id}`, { payload: { reason: 'lost, "found", lost' } })
  const actions = async (query: string) => (await ask('GET', `${path}?${query}`)).body.entries.map(({ action, key_id: keyId }: { action: string, key_id: string }) => `${action} ${keyId === one.id ? 'one' : 'two'}`)
  const whole = ['key.revoked two', 'key.changed one', 'key.created two', 'key.created one']
  t.strictSame(await actions(''), whole)
  t.strictSame(await actions(`key_id=${one.id}`), ['key.changed one', 'key.created one'])
  t.strictSame(await actions('actor=second'), ['key.changed one'])
  t.strictSame(await actions(`from=${between}`), ['key.revoked two'])
  t.strictSame(await actions(`to=${between}`), whole.slice(1))
  t.strictSame(await actions(`to=${between}&actor=ops&key_id=${two.id}`), ['key.created two'])
  t.strictSame(await actions('key_id=nonsense'), [])

  const first = (await ask('GET', `${path}?limit=3`)).body
  t.strictSame((await ask('GET', `${path}?limit=3&cursor=${first.next_cursor}`)).body.entries.length, 1)
  t.match(await ask('GET', `${path}?limit=3&actor=ops&cursor=${first.next_cursor}`), { status: 400, body: { code: 'invalid_cursor' } }, 'a page of one list is no page of another')

  const rows: Array<Record<string, string>> = []
  let url: string | undefined = `${path}?limit=3`
  while (url !== undefined) {
    const answer: LightMyRequestResponse = await app.inject({ url, headers: { authorization: `Bearer ${management}`, accept: 'text/csv' } })
    t.match(answer.headers, { 'content-type': 'text/csv; charset=utf-8', 'cache-control': 'no-store', vary: 'accept' })
    const [header, ...records] = csvRecords(answer.body).map(({ fields }) => fields)
    rows.push(...records.map((fields) => Object.fromEntries(fields.map((field, i) => [header![i]!, field]))))
    url = /^<([^>]+)>; rel="next"$/.exec(String(answer.headers['link'] ?? ''))?.[1]
  }
  t.strictSame(rows.map(({ action, actor }) => `${action} ${actor}`), ['key.revoked ops', 'key.changed second', 'key.created ops', 'key.created ops'])
  t.strictSame(JSON.parse(rows[0]!['details']!), { reason: 'lost, "found", lost' })
  t.equal(JSON.parse(rows[2]!['details']!).name, '=cmd|two')
  for (const row of rows) for (const cell of Object.values(row)) t.notMatch(cell, /^[=+\-@\t\r]/, 'nothing that a spreadsheet would run')
  t.equal((await app.inject({ url: path, headers: { accept: 'text/csv' } })).statusCode, 401)
})
