import t from 'tap'
import { service, setupApp } from '../routes/setup.ts'

interface Operation {
  readonly parameters?: ReadonlyArray<{ readonly name: string, readonly in: string }>
}

const hostile = [
  '%00', 'a%00b', '%ff', '%F0%9F', '%ED%A0%80', '%zz', '%E2%80%AE', '', '%20', '-1', '0', '1e400', 'NaN', '99999999999999999999', '[object Object]', "'", '%25', '%5C', '__proto__', 'x'.repeat(2000),
  '0000-01-01', '9999-12-31', '10000-01-01', '2026-02-30', '0000-01-01T00:00:00Z', '0001-01-01T00:00:00Z', '9999-12-31T23:59:59.999-23:59', '0000-01-01T00:00:00%2B23:59', '2016-12-31T23:59:60Z'
]

t.test('no text in a query parameter of any operation is an internal error', async (t) => {
  const { ask, create } = await setupApp(t)
  const { id } = await create()
  const paths: Record<string, Record<string, Operation>> = (await ask('GET', '/openapi.json')).body.paths
  let asked = 0
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { parameters = [] }] of Object.entries(methods)) {
      const url = path.replace('{workspace_id}', 'acme').replace('{key_id}', id)
      for (const { name } of parameters.filter((parameter) => parameter.in === 'query')) {
        for (const query of [...hostile.map((text) => `${name}=${text}`), `${name}=a&${name}=a`, `${name}[]=a`]) {
          const { status } = await ask(method.toUpperCase(), `${url}?${query}`)
          asked++
          if (status >= 500) t.fail(`${method} ${path}?${query.slice(0, 80)}: ${status}`)
        }
      }
    }
  }
  t.ok(asked > 500, 'the parameters were found')
})

t.test('a range of time before year 1 or after year 9999 has no rows beyond those of the others, and is no error', async (t) => {
  const { ask, create } = await setupApp(t)
  await create()
  const entries = async (query: string) => (await ask('GET', `/v1/workspaces/acme/audit?${query}`)).body.entries.length
  t.equal(await entries('from=0000-01-01T00:00:00Z&to=9999-12-31T23:59:59.999-23:59'), 1)
  t.equal(await entries('to=0000-01-01T00:00:00Z'), 0)
  t.equal(await entries('from=9999-12-31T23:59:59.999-23:59'), 0)
  t.equal((await ask('GET', '/v1/workspaces/acme/calls?from=0000-01-01T00:00:00Z')).status, 200)
})

t.test('a path that reads no query string refuses one: what was asked for there would not be checked', async (t) => {
  const { ask, create } = await setupApp(t)
  const { token } = await create()
  const headers = { authorization: `Bearer ${service}`, 'content-type': 'application/x-www-form-urlencoded' }
  const json = { payload: { token } }
  const form = { payload: `token=${token}`, headers }
  for (const [path, options] of [['/v1/verify', json], ['/v1/introspect', form], ['/v1/revoke', form]] as const) {
    for (const query of ['scope=mcp:write', 'x=1']) t.match(await ask('POST', `${path}?${query}`, options), { status: 400, body: { code: 'invalid_request', detail: /no query parameters/ } }, `${path}?${query}`)
    t.match(await ask('POST', `${path}?token=${token}`, options), { status: 400, body: { detail: /credential/ } })
  }
  t.match(await ask('POST', '/v1/verify?', json), { status: 200, body: { valid: true } }, 'and nothing was revoked')
})
