import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { connect as connectSocket, type AddressInfo } from 'node:net'
import { json, text } from 'node:stream/consumers'
import t from 'tap'
import { connect } from '../../src/db/connect.ts'
import { sql } from 'drizzle-orm'
import { startPostgres, until } from '../support/servers.ts'
import { migrate } from '../../src/db/migrate.ts'
import { management, service, setupApp } from './setup.ts'

const soon = () => new Date(Date.now() + 3_600_000).toISOString()
const keys = '/v1/workspaces/acme/keys'
const fields = { name: 'laptop', scope: 'mcp:write' }

/** For the tests that look at no more than what they made themselves. */
const shared = await setupApp(t)
await shared.app.listen({ port: 0, host: '127.0.0.1' })

t.test('a key is made, shown without its token, verified, renamed, revoked; the audit says who did what', async (t) => {
  const { ask } = await setupApp(t, { redis: true })
  const expires = soon()
  const made = await ask('POST', keys, { payload: { ...fields, owner_id: 'ada@example.com', expires_at: expires, metadata: { team: 'blue' } } })
  t.equal(made.status, 201)
  const { token, ...key } = made.body
  t.match(token, /^nops_[0-9A-Za-z]{38}$/)
  t.equal(made.headers.location, `${keys}/${key.id}`)
  t.equal(made.headers['cache-control'], 'no-store')
  t.strictSame(key, {
    id: key.id,
    workspace_id: 'acme',
    owner_id: 'ada@example.com',
    name: 'laptop',
    scope: 'mcp:write',
    hint: `${token.slice(5, 9)}…${token.slice(-4)}`,
    status: 'active',
    metadata: { team: 'blue' },
    created_at: key.created_at,
    created_by: 'ops',
    expires_at: expires,
    last_used_at: null,
    revoked_at: null,
    revoked_by: null,
    revoke_reason: null,
    allowed_cidrs: null,
    rate_limit: null,
    rotated_at: null,
    previous_token: null
  })
  t.match(key.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/)
  t.strictSame((await ask('GET', `${keys}/${key.id}`)).body, key)
  const verify = () => ask('POST', '/v1/verify', { headers: { authorization: `Bearer ${service}` }, payload: { token } })
  t.match((await verify()).body, { valid: true, key: { id: key.id, scopes: ['mcp:read', 'mcp:write'] } })

  t.match(await ask('PATCH', `${keys}/${key.id}`, { payload: { name: 'desktop', expires_at: null } }), { status: 200, body: { name: 'desktop', expires_at: null } })
  t.strictSame(await ask('DELETE', `${keys}/${key.id}`, { payload: { reason: 'lost' } }).then(({ status, body }) => [status, body]), [204, undefined])
  t.match((await verify()).body, { valid: false, reason: 'revoked' })
  t.equal((await ask('DELETE', `${keys}/${key.id}`)).status, 204)
  t.match((await ask('GET', `${keys}/${key.id}`)).body, { status: 'revoked', revoked_by: 'ops', revoke_reason: 'lost' })
  t.match(await ask('PATCH', `${keys}/${key.id}`, { payload: { name: 'x' } }), { status: 409, body: { code: 'key_revoked' } })

  const audit = await ask('GET', '/v1/workspaces/acme/audit')
  t.strictSame(audit.body.entries.map((entry: { action: string, actor: string, key_id: string }) => [entry.action, entry.actor, entry.key_id]), [
    ['key.revoked_again', 'ops', key.id], ['key.revoked', 'ops', key.id], ['key.changed', 'ops', key.id], ['key.created', 'ops', key.id]
  ])
  t.strictSame(audit.body.entries[1].details, { reason: 'lost' })
})

t.test('an earlier expiry is in force when it returns', async (t) => {
  const { ask, create } = shared
  const { id, token } = await create()
  const verify = () => ask('POST', '/v1/verify', { payload: { token } })
  t.match((await verify()).body, { valid: true })
  const near = Date.now() + 2000
  t.match(await ask('PATCH', `${keys}/${id}`, { payload: { expires_at: new Date(near).toISOString() } }), { status: 200, body: { status: 'active' } })
  t.match((await verify()).body, { valid: true })
  await until(() => Date.now() > near + 50)
  t.match((await verify()).body, { valid: false, reason: 'expired' })
  t.match((await ask('GET', `${keys}/${id}`)).body, { status: 'expired' })
})

t.test('all keys of a workspace are revoked at once, and those made later live', async (t) => {
  const { ask, create } = await setupApp(t)
  const before = [await create(), await create()]
  const other = await create({}, 'other')
  const isValid = async (token: string) => (await ask('POST', '/v1/verify', { payload: { token } })).body.valid
  for (const { token } of [...before, other]) t.equal(await isValid(token), true)
  t.match(await ask('POST', `${keys}/revoke-all`, { payload: { reason: 'left' } }), { status: 200, body: { revoked: 2 } })
  for (const { token } of before) t.equal(await isValid(token), false)
  t.equal(await isValid(other.token), true)
  t.equal(await isValid((await create()).token), true)
  const trail = async (query: string) => (await ask('GET', `/v1/workspaces/acme/audit?${query}`)).body.entries
  for (const { id } of before) t.match((await trail(`key_id=${id}`))[0], { action: 'key.revoked', actor: 'ops', details: { reason: 'left', part_of: 'workspace.revoked' } }, 'the trail of each key says who revoked it')
  t.match((await trail('limit=4')).slice(1).map(({ action }: { action: string }) => action), ['workspace.revoked', 'key.revoked', 'key.revoked'])
})

t.test('a list is read page by page, newest first, by status; each cursor is good for its own list only', async (t) => {
  const { ask, create } = await setupApp(t)
  const ids: string[] = []
  for (let i = 0; i < 5; i++) ids.unshift((await create()).id)
  await ask('DELETE', `${keys}/${ids[2]}`)
  const walk = async (query: string) => {
    const seen: string[] = []
    let cursor: string | null = ''
    while (cursor !== null) {
      const { body } = await ask('GET', `${keys}?limit=2${query}${cursor === '' ? '' : `&cursor=${cursor}`}`)
      seen.push(...body.keys.map(({ id }: { id: string }) => id))
      cursor = body.next_cursor
    }
    return seen
  }
  t.strictSame(await walk('&status=all'), ids)
  t.strictSame(await walk(''), ids.filter((_, i) => i !== 2))
  t.strictSame(await walk('&status=revoked'), [ids[2]])
  t.strictSame(await walk('&status=expired'), [])
  const { next_cursor: cursor } = (await ask('GET', `${keys}?limit=2&status=all`)).body
  const twisted = `${cursor.slice(0, 5)}${cursor[5] === 'A' ? 'B' : 'A'}${cursor.slice(6)}`
  for (const [when, path] of [
    ['tampered with', `${keys}?status=all&cursor=${twisted}`],
    ['of another status', `${keys}?cursor=${cursor}`],
    ['of another workspace', `/v1/workspaces/other/keys?status=all&cursor=${cursor}`],
    ['of another list', `/v1/workspaces/acme/audit?cursor=${cursor}`],
    ['made up', `${keys}?cursor=abc`]
  ] as const) {
    t.match(await ask('GET', path), { status: 400, body: { code: 'invalid_cursor' } }, when)
  }
})

t.test('an Idempotency-Key makes one key, and what it was is nowhere to be read', async (t) => {
  const { ask, url } = await setupApp(t)
  const once = (payload: object) => ask('POST', keys, { payload, headers: { 'idempotency-key': 'order 66' } })
  const all = await Promise.all([once(fields), once(fields), once(fields)])
  t.strictSame(all.map(({ status }) => status).sort(), [201, 409, 409])
  const { id } = all.find(({ status }) => status === 201)!.body
  const repeated = await once({ scope: 'mcp:write', name: 'laptop' })
  t.match(repeated, { status: 409, body: { code: 'already_created', key_id: id } })
  t.notOk(JSON.stringify(repeated.body).includes('nops_'))
  t.match(await once({ ...fields, name: 'other' }), { status: 422, body: { code: 'idempotency_key_reused' } })
  const { db, close } = connect({ url })
  t.teardown(() => close())
  t.notOk(JSON.stringify(await db.execute(sql`select i::text from navis_keys.idempotency i`)).includes('order'))
})

t.test('two Idempotency-Key headers are refused, and nothing is made', async (t) => {
  const { ask, app } = await setupApp(t)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const { body: { id } } = await ask('POST', keys, { payload: fields })
  const sent = async (path: string, values: string[]): Promise<{ status: number | undefined, detail: unknown }> => {
    const request = httpRequest(`${url}${path}`, { method: 'POST', headers: { authorization: `Bearer ${management}`, 'content-type': 'application/json', 'Idempotency-Key': values } })
    request.end(path === keys ? JSON.stringify(fields) : '{}')
    const [answer] = await once(request, 'response') as [IncomingMessage]
    return { status: answer.statusCode, detail: (await json(answer) as { detail?: unknown }).detail }
  }
  for (const path of [keys, `${keys}/${id}/rotate`]) {
    for (const values of [['order 66', 'order 67'], ['order 66', 'order 66']]) {
      t.strictSame(await sent(path, values), { status: 400, detail: 'There is more than one Idempotency-Key header. Send one.' }, `${path} ${values}`)
    }
  }
  t.match((await ask('GET', keys)).body.keys, { length: 1, 0: { rotated_at: null } })
  t.match(await sent(keys, ['order 66']), { status: 201 })
})

t.test('another workspace\'s key looks exactly like none', async (t) => {
  const { ask, create } = shared
  const { id } = await create()
  const none = '01920000-0000-7000-8000-000000000000'
  for (const [method, payload] of [['GET'], ['PATCH', { name: 'x' }], ['DELETE']] as const) {
    const foreign = await ask(method, `/v1/workspaces/other/keys/${id}`, payload === undefined ? {} : { payload })
    t.equal(foreign.status, 404)
    for (const made of [none, 'no-uuid', '1']) {
      const { body, status } = await ask(method, `/v1/workspaces/other/keys/${made}`, payload === undefined ? {} : { payload })
      t.strictSame({ body, status }, { body: foreign.body, status: 404 })
    }
  }
})

t.test('bad input is refused with a pointer to what is wrong', async (t) => {
  const { ask, create } = shared
  const { id, token } = await create()
  const refused: Array<{ when: string, method?: string, path?: string, body: object, pointer: string }> = [
    { when: 'no name', body: { scope: 'mcp:read' }, pointer: '/name' },
    { when: 'an empty name', body: { ...fields, name: '' }, pointer: '/name' },
    { when: 'a name of 101 characters', body: { ...fields, name: 'x'.repeat(101) }, pointer: '/name' },
    { when: 'a name with a NUL', body: { ...fields, name: 'a\u0000b' }, pointer: '/name' },
    { when: 'a name with half a character', body: { ...fields, name: 'a\ud800b' }, pointer: '/name' },
    { when: 'a number for a name', body: { ...fields, name: 7 }, pointer: '/name' },
    { when: 'a token for a name', body: { ...fields, name: `my ${token}` }, pointer: '/name' },
    { when: 'an unknown scope', body: { ...fields, scope: 'mcp:admin' }, pointer: '/scope' },
    { when: 'an unknown field', body: { ...fields, admin: true }, pointer: '/admin' },
    { when: 'a field that is named like a token', body: { ...fields, [token]: 1 }, pointer: '' },
    { when: 'an expiry in the past', body: { ...fields, expires_at: '2020-01-01T00:00:00Z' }, pointer: '/expires_at' },
    { when: 'an expiry that is no time', body: { ...fields, expires_at: 'tomorrow' }, pointer: '/expires_at' },
    { when: 'an expiry on a day that is none', body: { ...fields, expires_at: '2099-02-30T00:00:00Z' }, pointer: '/expires_at' },
    { when: 'an expiry in a leap second', body: { ...fields, expires_at: '2099-12-31T23:59:60Z' }, pointer: '/expires_at' },
    { when: 'an expiry before all time', body: { ...fields, expires_at: '0000-01-01T00:00:00Z' }, pointer: '/expires_at' },
    { when: 'an expiry in the year 10000', body: { ...fields, expires_at: '9999-12-31T23:59:59.999-12:00' }, pointer: '/expires_at' },
    { when: 'an expiry that is moved before all time', method: 'PATCH', path: `${keys}/${id}`, body: { expires_at: '0000-01-01T00:00:00Z' }, pointer: '/expires_at' },
    { when: 'an expiry that is moved into the year 10000', method: 'PATCH', path: `${keys}/${id}`, body: { expires_at: '9999-12-31T23:59:59.999-12:00' }, pointer: '/expires_at' },
    { when: 'a name of white space', body: { ...fields, name: ' \u00a0' }, pointer: '/name' },
    { when: 'a name of zero width', body: { ...fields, name: '\u200b\u200d\ufeff' }, pointer: '/name' },
    { when: 'a name with a control character of Latin-1', body: { ...fields, name: 'a\u009bb' }, pointer: '/name' },
    { when: 'an owner of two dots', body: { ...fields, owner_id: '..' }, pointer: '/owner_id' },
    { when: 'an owner with a space', body: { ...fields, owner_id: 'a b' }, pointer: '/owner_id' },
    { when: 'a name that turns the direction of writing', body: { ...fields, name: 'gnp\u202ejpg' }, pointer: '/name' },
    { when: 'a range with host bits', body: { ...fields, allowed_cidrs: ['10.0.0.0/8', '192.0.2.1/24'] }, pointer: '/allowed_cidrs/1' },
    { when: 'a range that is none', body: { ...fields, allowed_cidrs: ['example.com'] }, pointer: '/allowed_cidrs/0' },
    { when: 'a range in octal', body: { ...fields, allowed_cidrs: ['010.0.0.0/8'] }, pointer: '/allowed_cidrs/0' },
    { when: 'a rate limit of none', body: { ...fields, rate_limit: { requests: 0, window_seconds: 60 } }, pointer: '/rate_limit/requests' },
    { when: 'half a rate limit', body: { ...fields, rate_limit: { requests: 5 } }, pointer: '/rate_limit/window_seconds' },
    { when: 'a rate limit over two days', body: { ...fields, rate_limit: { requests: 5, window_seconds: 172_800 } }, pointer: '/rate_limit/window_seconds' },
    { when: 'a grace of more than 30 days', path: `${keys}/${id}/rotate`, body: { grace_seconds: 2_592_001 }, pointer: '/grace_seconds' },
    { when: 'a grace that starts never', path: `${keys}/${id}/rotate`, body: { grace_starts: 'never' }, pointer: '/grace_starts' },
    { when: 'nested metadata', body: { ...fields, metadata: { a: { b: 'c' } } }, pointer: '/metadata/a' },
    { when: 'an unknown field with a slash in its name', body: { ...fields, 'team/lead~1': 1 }, pointer: '/team~1lead~01' },
    { when: 'nested metadata with a slash in its name', body: { ...fields, metadata: { 'team/lead~1': {} } }, pointer: '/metadata/team~1lead~01' },
    { when: 'nested metadata whose name is not repeated', body: { ...fields, metadata: { [token]: {} } }, pointer: '/metadata' },
    { when: 'metadata of more than 2 KiB', body: { ...fields, metadata: { a: 'x'.repeat(2048) } }, pointer: '/metadata' },
    { when: 'metadata with a NUL', body: { ...fields, metadata: { a: '\u0000' } }, pointer: '/metadata' },
    { when: 'metadata with a line break', body: { ...fields, metadata: { a: 'one\ntwo' } }, pointer: '/metadata' },
    { when: 'metadata with a token in a name', body: { ...fields, metadata: { [token]: 'x' } }, pointer: '/metadata' },
    { when: 'nothing to change', method: 'PATCH', path: `${keys}/${id}`, body: {}, pointer: '' },
    { when: 'an expiry that is moved into the past', method: 'PATCH', path: `${keys}/${id}`, body: { expires_at: '2020-01-01T00:00:00Z' }, pointer: '/expires_at' },
    { when: 'a scope that is to change', method: 'PATCH', path: `${keys}/${id}`, body: { scope: 'mcp:write' }, pointer: '/scope' },
    { when: 'a reason with a token', method: 'DELETE', path: `${keys}/${id}`, body: { reason: token }, pointer: '/reason' },
    { when: 'a list for a body', body: [], pointer: '' }
  ]
  for (const { when, method = 'POST', path = keys, body, pointer } of refused) {
    const answer = await ask(method, path, { payload: body })
    t.equal(answer.status, 400, when)
    t.equal(answer.headers['content-type'], 'application/problem+json', when)
    t.match(answer.body, { code: 'invalid_request', status: 400, title: String, detail: String, type: String }, when)
    t.ok(answer.body.errors?.some((fault: { pointer: string }) => fault.pointer === pointer), `${when}: ${JSON.stringify(answer.body.errors)}`)
    t.notOk(JSON.stringify(answer.body).includes(token), when)
  }
  const hidden = await ask('POST', keys, { payload: { ...fields, metadata: { 'a name with spaces': {} } } })
  t.strictSame(hidden.body.errors, [{ pointer: '/metadata', detail: 'In a field whose name is not repeated here: Must be a string.' }])
  for (const query of ['limit=0', 'limit=201', 'limit=x', 'limit=2.5', 'limit=0x10', 'limit=1e2', 'limit=%201', 'limit=', 'limit=1&limit=2', 'status=dead', 'offset=3', `cursor=${'a'.repeat(300)}`]) {
    t.match(await ask('GET', `${keys}?${query}`), { status: 400, body: { code: 'invalid_request' } }, query)
  }
  t.match(await ask('GET', '/v1/workspaces/a%20b/keys'), { status: 400, body: { errors: [{ pointer: '/workspace_id' }] } })
  t.match(await ask('GET', '/v1/workspaces/.../keys'), { status: 400, body: { errors: [{ pointer: '/workspace_id' }] } })
  t.equal((await ask('GET', `/v1/workspaces/${'w'.repeat(128)}/keys`)).status, 200)
  t.match(await ask('POST', keys, { payload: { ...fields, expires_at: '9999-12-31T23:59:59.999Z' } }), { status: 201, body: { expires_at: '9999-12-31T23:59:59.999Z' } })
  t.equal((await ask('GET', '/v1/workspaces/a.b:c@d-e/keys')).status, 200)
  t.equal((await ask('POST', keys, { payload: { name: '\u{1F511}'.repeat(100), scope: 'mcp:read' } })).status, 201, 'a hundred characters, however long each is')
})

t.test('bodies that are no JSON object of ours are refused by their form', async (t) => {
  const { ask, create } = shared
  const { id } = await create()
  const post = (payload: string, type: string) => ask('POST', keys, { payload, headers: { 'content-type': type } })
  const json = 'application/json'
  const refused = [
    { when: 'broken', body: '{"name": ', type: json, status: 400, code: 'invalid_request' },
    { when: 'empty', body: '', type: json, status: 400, code: 'invalid_request' },
    { when: 'deep', body: '{"a":'.repeat(2000) + '1' + '}'.repeat(2000), type: json, status: 400, code: 'invalid_request' },
    { when: 'with __proto__', body: '{"name":"x","scope":"mcp:read","__proto__":{"a":1}}', type: json, status: 400, code: 'invalid_request' },
    { when: 'with constructor.prototype', body: '{"name":"x","scope":"mcp:read","metadata":{"constructor":{"prototype":{}}}}', type: json, status: 400, code: 'invalid_request' },
    { when: 'text', body: 'name=x', type: 'text/plain', status: 415, code: 'unsupported_media_type' },
    { when: 'a form', body: 'name=x&scope=mcp:read', type: 'application/x-www-form-urlencoded', status: 415, code: 'unsupported_media_type' },
    { when: 'of more than 16 KiB', body: JSON.stringify({ name: 'x'.repeat(20_000) }), type: json, status: 413, code: 'body_too_large' }
  ]
  for (const { when, body, type, status, code } of refused) {
    t.match(await post(body, type), { status, body: { code, status }, headers: { 'content-type': 'application/problem+json' } }, when)
  }
  for (const type of ['; charset=utf-8', ';charset="UTF-8"', '; version=1; charset=utf-8', ';']) t.equal((await post(JSON.stringify(fields), json + type)).status, 201, type)
  for (const type of ['; charset=utf-16', '; charset=iso-8859-1', '; charset', '; charset=', '; charset=utf-8; charset=utf-7', '; =x', ' x', '; a="b', ', text/plain']) {
    t.match(await post(JSON.stringify(fields), json + type), { status: 415, body: { code: 'unsupported_media_type' } }, type)
  }
  t.match(await ask('POST', keys, { payload: fields, headers: { 'content-encoding': 'gzip' } }), { status: 415, body: { detail: /Content-Encoding/ } })
  t.match(await ask('POST', keys, { payload: Buffer.concat([Buffer.from('{"scope":"mcp:read","name":"'), Buffer.from([0xe9]), Buffer.from('"}')]), headers: { 'content-type': json } }), { status: 400, body: { detail: /UTF-8/ } })
  t.equal((await ask('POST', `${keys}/revoke-all`, { payload: '', headers: { 'content-type': json } })).status, 200, 'so may the revocation of all')
  t.equal((await ask('DELETE', `${keys}/${id}`, { payload: '', headers: { 'content-type': json } })).status, 204, 'a DELETE may name the type of a body that it does not send')
})

t.test('two content types are one too many', async (t) => {
  const { port } = shared.app.server.address() as AddressInfo
  for (const [first, second] of [['application/json', 'text/plain'], ['application/json', 'application/json'], ['text/plain', 'application/json']] as const) {
    const socket = connectSocket(port, '127.0.0.1')
    const body = JSON.stringify(fields)
    socket.write([`POST ${keys} HTTP/1.1`, 'Host: x', 'Connection: close', `Authorization: Bearer ${management}`, `Content-Type: ${first}`, `Content-Type: ${second}`, `Content-Length: ${body.length}`, '', body].join('\r\n'))
    t.match(await text(socket), /^HTTP\/1.1 415 /, `${first}, ${second}`)
  }
})

t.test('a fault says what to do', async (t) => {
  const { ask, create } = shared
  const { id } = await create()
  const faultsOf = async (method: string, path: string, payload: unknown) => (await ask(method, path, { payload: payload as object })).body.errors
  t.strictSame(await faultsOf('POST', keys, { ...fields, scope: 'all' }), [{ pointer: '/scope', detail: 'Must be one of mcp:read, mcp:write.' }])
  t.strictSame(await faultsOf('PATCH', `${keys}/${id}`, {}), [{ pointer: '', detail: 'Must have at least one of the fields name, expires_at, allowed_cidrs, rate_limit.' }])
  for (const [method, path] of [['DELETE', `${keys}/${id}`], ['POST', `${keys}/revoke-all`]] as const) {
    t.strictSame(await faultsOf(method, path, { reason: 5 }), [{ pointer: '/reason', detail: 'Must be a string.' }])
    t.strictSame(await faultsOf(method, path, { why: 'x' }), [{ pointer: '/why', detail: 'Unknown field. Remove it.' }])
  }
  for (const [method, path, payload, fault] of [
    ['PUT', '/v1/workspaces/w1/policy', { max_lifetime_days: 0 }, { pointer: '/max_lifetime_days', detail: 'Must be at least 1.' }],
    ['POST', `${keys}/${id}/rotate`, { grace_seconds: 2_592_001 }, { pointer: '/grace_seconds', detail: 'Must be at most 2592000.' }],
    ['POST', `${keys}/${id}/rotate`, { grace_seconds: 1.5 }, { pointer: '/grace_seconds', detail: 'Must be a whole number.' }],
    ['POST', '/v1/leaks', [], { pointer: '', detail: 'Must have at least 1 entry.' }],
    ['POST', `${keys}/import`, { keys: {} }, { pointer: '/keys', detail: 'Must be a list.' }]
  ] as const) t.strictSame(await faultsOf(method, path, payload), [fault])
  for (const member of ['"__proto__":{}', '"constructor":{"prototype":{}}']) {
    t.match(await ask('POST', keys, { payload: `{${member}}`, headers: { 'content-type': 'application/json' } }), { status: 400, body: { detail: /__proto__, or a field constructor/ } })
  }
})

t.test('what is not there is a 404, a method that is not known a 405 with Allow', async (t) => {
  const { ask } = shared
  t.match(await ask('GET', '/v2/nothing'), { status: 404, body: { code: 'not_found' } })
  t.match(await ask('PUT', keys), { status: 405, body: { code: 'method_not_allowed' }, headers: { allow: 'GET, HEAD, POST' } })
  t.match(await ask('DELETE', '/livez'), { status: 405, headers: { allow: 'GET, HEAD' } })
  t.match(await ask('GET', '/v1/%zz'), { status: 400, body: { code: 'invalid_request' } })
  for (const path of ['oauth-authorization-server', 'oauth-protected-resource', 'oauth-protected-resource/mcp', 'openid-configuration']) {
    t.match(await ask('GET', `/.well-known/${path}`, { headers: { authorization: '' } }), { status: 404, body: { code: 'not_found' } }, path)
  }
})

t.test('only a management token manages, whatever shape the header has', async (t) => {
  const { app, create } = shared
  const { token } = await create()
  const cases = [
    { when: 'no header', header: undefined, status: 401, code: 'unauthenticated' },
    { when: 'an empty header', header: '', status: 401, code: 'unauthenticated' },
    { when: 'the scheme alone', header: 'Bearer', status: 401, code: 'unauthenticated' },
    { when: 'the scheme and a space', header: 'Bearer ', status: 401, code: 'unauthenticated' },
    { when: 'no scheme', header: management, status: 401, code: 'unauthenticated' },
    { when: 'Basic', header: `Basic ${Buffer.from(`ops:${management}`).toString('base64')}`, status: 401, code: 'unauthenticated' },
    { when: 'a longer secret', header: `Bearer ${management}0`, status: 401, code: 'unauthenticated' },
    { when: 'a shorter secret', header: `Bearer ${management.slice(0, -1)}`, status: 401, code: 'unauthenticated' },
    { when: 'two secrets', header: `Bearer ${management}, Bearer ${management}`, status: 401, code: 'unauthenticated' },
    { when: 'a service token', header: `Bearer ${service}`, status: 403, code: 'forbidden' },
    { when: 'a key', header: `Bearer ${token}`, status: 403, code: 'forbidden' },
    { when: 'what looks like a key', header: 'Bearer nops_x', status: 403, code: 'forbidden' },
    { when: 'lower case', header: `bearer ${management}`, status: 200 },
    { when: 'upper case', header: `BEARER ${management}`, status: 200 }
  ]
  for (const { when, header, status, code } of cases) {
    const answer = await app.inject({ method: 'GET', url: keys, headers: header === undefined ? {} : { authorization: header } })
    t.equal(answer.statusCode, status, when)
    if (code !== undefined) t.equal(answer.json().code, code, when)
    t.equal(answer.headers['www-authenticate'], status === 401 ? 'Bearer realm="navis-keys"' : undefined, when)
  }
  for (const { when, headers, status } of [
    { when: 'a key in X-API-Key', headers: { 'x-api-key': token }, status: 403 },
    { when: 'a key with a scheme in X-API-Key', headers: { 'x-api-key': `Bearer ${token}` }, status: 403 },
    { when: 'a key in X-API-Key, and an empty header', headers: { 'x-api-key': token, authorization: '' }, status: 403 },
    { when: 'another text in X-API-Key', headers: { 'x-api-key': 'x' }, status: 401 },
    { when: 'a management token in X-API-Key', headers: { 'x-api-key': management }, status: 401 },
    { when: 'a key in X-API-Key, and a management token', headers: { 'x-api-key': token, authorization: `Bearer ${management}` }, status: 200 }
  ]) {
    const answer = await app.inject({ method: 'GET', url: keys, headers })
    t.equal(answer.statusCode, status, when)
    if (status === 403) t.match(answer.json(), { code: 'forbidden', detail: /An API key cannot manage/ }, when)
  }
  for (const query of [`access_token=${token}`, `x=${token}`, `x=${token.replace('_', '%5F')}`, `x=${management}`]) {
    const answer = await app.inject({ method: 'GET', url: `${keys}?${query}`, headers: { authorization: `Bearer ${management}` } })
    t.equal(answer.statusCode, 400, query.slice(0, 12))
    t.notOk(answer.body.includes(token) || answer.body.includes(management))
  }
})

t.test('a key is found in the header that API_KEY_HEADER names, and in no other', async (t) => {
  for (const { named, status } of [{ named: 'X-Other', status: 401 }, { named: '', status: 401 }, { named: 'X-Key', status: 403 }]) {
    const { app, create } = await setupApp(t, { environment: { API_KEY_HEADER: named } })
    const { token } = await create()
    t.equal((await app.inject({ method: 'GET', url: keys, headers: { 'x-key': token, 'x-api-key': token } })).statusCode, status, named)
  }
})

t.test('while Postgres is frozen, management and readiness answer 503 within two seconds, and all heals', async (t) => {
  const server = await startPostgres(t)
  await migrate(server.url)
  const { ask, create } = await setupApp(t, { databaseUrl: server.url, environment: { TRUST_WINDOW_MS: '2000' } })
  const { id } = await create()
  await server.pause()
  const answers = await Promise.all([
    ask('POST', keys, { payload: fields }), ask('GET', keys), ask('GET', `${keys}/${id}`), ask('PATCH', `${keys}/${id}`, { payload: { name: 'x' } }),
    ask('DELETE', `${keys}/${id}`), ask('POST', `${keys}/revoke-all`), ask('GET', '/v1/workspaces/acme/audit')
  ])
  for (const answer of answers) t.match(answer, { status: 503, body: { code: 'unavailable' }, headers: { 'retry-after': '1' } })
  t.match(answers[0]!.body.detail, /not known whether the key was created/)
  const repeatable = await ask('POST', keys, { payload: fields, headers: { 'idempotency-key': 'once' } })
  t.match(repeatable, { status: 503, body: { detail: /repeating the request is safe/ } })
  t.match(await ask('GET', '/readyz'), { status: 503, body: { status: 'not_ready', postgres: 'down' } })
  t.equal((await ask('GET', '/livez')).status, 200)
  await server.resume()
  await until(async () => (await ask('GET', '/readyz')).status === 200)
  t.equal((await ask('POST', keys, { payload: fields })).status, 201)
})
