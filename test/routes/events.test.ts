import t from 'tap'
import { randomUUID } from 'node:crypto'
import { until } from '../support/until.ts'
import { service, setupApp } from './setup.ts'

interface Event { id: string, type: string, timestamp: string, data: { key_id: string, key: Record<string, unknown>, days?: number } }

t.test('what happens to a key is told in order, as the API shows the key, and never with a token', async (t) => {
  const { ask, create } = await setupApp(t)
  t.match(await ask('GET', '/v1/events'), { status: 200, body: { events: [], next_after: null } })
  const { token, ...made } = await create({ name: 'ci', owner_id: 'ada', rate_limit: { requests: 5, window_seconds: 60 }, allowed_cidrs: ['203.0.113.0/24'] })
  const path = `/v1/workspaces/acme/keys/${made.id}`
  await ask('PATCH', path, { payload: { name: 'ci 2' } })
  const { token: newToken } = (await ask('POST', `${path}/rotate`)).body
  await ask('DELETE', path, { payload: { reason: 'lost' } })
  const { body } = await ask('GET', '/v1/events')
  const events: Event[] = body.events
  t.strictSame(events.map(({ type, data }) => [type, data.key_id]), ['key.created', 'key.updated', 'key.rotated', 'key.revoked'].map((type) => [type, made.id]))
  t.strictSame(events[0]!.data.key, made)
  t.match(events[1]!.data.key, { name: 'ci 2', status: 'active' })
  t.strictSame(events[3]!.data.key, (await ask('GET', path)).body)
  t.ok(events.every(({ timestamp }) => Math.abs(Date.parse(timestamp) - Date.now()) < 60_000))
  t.notOk([token, newToken].some((secret: string) => JSON.stringify(body).includes(secret)))

  const page = (await ask('GET', '/v1/events?limit=3')).body
  t.strictSame(page.events, events.slice(0, 3))
  t.equal(page.next_after, events[2]!.id)
  t.strictSame((await ask('GET', `/v1/events?after=${page.next_after}`)).body, { events: events.slice(3), next_after: events[3]!.id })
  t.strictSame((await ask('GET', `/v1/events?after=${events[3]!.id}`)).body, { events: [], next_after: events[3]!.id })
})

t.test('a key that expires is told of without anybody asking for it, and two replicas tell once', async (t) => {
  const { ask, create, url } = await setupApp(t)
  await setupApp(t, { databaseUrl: url })
  const { id } = await create({ expires_at: new Date(Date.now() + 1500).toISOString() })
  const told = async (): Promise<Event[]> => (await ask('GET', '/v1/events')).body.events
  let events: Event[] = []
  await until(async () => (events = await told()).some(({ type }) => type === 'key.expired'), { timeoutMs: 60_000 })
  t.match(events.find(({ type }) => type === 'key.expired'), { data: { key_id: id, key: { status: 'expired' } } })
  const { id: week } = await create({ expires_at: new Date(Date.now() + 6 * 86_400_000).toISOString() })
  await until(async () => (events = await told()).some(({ type, data }) => type === 'key.expiring' && data.key_id === week), { timeoutMs: 60_000 })
  t.match(events.at(-1), { data: { days: 7, key: { status: 'active' } } })
  t.equal(events.filter(({ type }) => type === 'key.expired').length, 1)
})

t.test('wrong calls are told what to do', async (t) => {
  const { ask } = await setupApp(t)
  for (const after of [randomUUID(), 'x']) {
    t.match(await ask('GET', `/v1/events?after=${after}`), { status: 400, body: { errors: [{ pointer: '/after', detail: /Omit it/ }] } })
  }
  for (const limit of ['0', '1001', 'x']) t.match(await ask('GET', `/v1/events?limit=${limit}`), { status: 400 })
  t.match(await ask('GET', '/v1/events', { headers: { authorization: `Bearer ${service}` } }), { status: 403 })
  t.match(await ask('GET', '/v1/events', { headers: { authorization: '' } }), { status: 401 })
})

t.test('the use of a token that a rotation has ended is told of once, and a use of a key that is revoked as a whole is not', async (t) => {
  const { ask, create } = await setupApp(t, { environment: { LAST_USED_FLUSH_MS: '100' } })
  const [rotated, gone] = [await create(), await create()]
  await ask('POST', `/v1/workspaces/acme/keys/${rotated.id}/rotate`)
  await ask('DELETE', `/v1/workspaces/acme/keys/${gone.id}`)
  const use = async (token: string) => (await ask('GET', '/forward-auth', { headers: { authorization: `Bearer ${token}` } })).status
  for (let i = 0; i < 3; i++) t.strictSame([await use(rotated.token), await use(gone.token)], [401, 401])
  const told = async (): Promise<Event[]> => (await ask('GET', '/v1/events')).body.events.filter(({ type }: Event) => type === 'key.ended_token_used')
  await until(async () => (await told()).length > 0, { timeoutMs: 60_000 })
  t.equal(await use(rotated.token), 401)
  await new Promise((resolve) => { setTimeout(resolve, 300) })
  t.match(await told(), [{ data: { key_id: rotated.id, key: { status: 'active' } } }])
  t.equal((await told()).length, 1)
})

t.test('the use of an ended token is told of also where its key is revoked before that is written', async (t) => {
  const { ask, create, app } = await setupApp(t)
  const stolen = await create()
  await ask('POST', `/v1/workspaces/acme/keys/${stolen.id}/rotate`)
  t.equal((await ask('GET', '/forward-auth', { headers: { authorization: `Bearer ${stolen.token}` } })).status, 401)
  await ask('DELETE', `/v1/workspaces/acme/keys/${stolen.id}`)
  await app.apiKeys.usage.flush()
  await until(async () => (await ask('GET', '/v1/events')).body.events.some(({ type }: Event) => type === 'key.ended_token_used'), { timeoutMs: 20_000 })
})
