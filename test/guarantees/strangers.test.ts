import t from 'tap'
import { readFileSync } from 'node:fs'
import { setupApp, service } from '../routes/setup.ts'

// Reviewed: none of these says anything about a key that the asker did not bring.
const open = new Set([
  '/livez', '/readyz', '/metrics', '/openapi.json', '/docs', '/docs/', '/docs/reference.css', '/docs/icon.svg', '/llms.txt',
  // Whoever has a token may end it, and learns nothing from the answer (RFC 7009).
  '/v1/revoke',
  // Known by a signature alone: test/routes/github-leaks.test.ts refuses everyone else.
  '/v1/leaks/github',
  '/.well-known/oauth-authorization-server', '/.well-known/oauth-authorization-server/*', '/.well-known/oauth-protected-resource',
  '/.well-known/oauth-protected-resource/*', '/.well-known/openid-configuration', '/.well-known/openid-configuration/*'
])
// Without a provider the settings page only says that it is off; test/pages/guards.test.ts reviews its routes when it is on.
const offPage = /^\/settings(\/|$)/
const forServices = new Set(['/v1/verify', '/v1/introspect'])

t.test('every route refuses strangers, and all but verification refuse services and keys, unless it is on the reviewed list', async (t) => {
  const { app, create } = await setupApp(t)
  const { token } = await create()
  const routes = routesOf(app.printRoutes({ commonPrefix: false, includeHooks: false }))
  t.ok(routes.length > 15, 'the routes were found')
  for (const { method, pattern } of routes) {
    if (open.has(pattern) || offPage.test(pattern)) continue
    const url = pattern.replace(/:[a-z_]+/g, 'x').replace(/\/?\*$/, '/x')
    const asked = async (authorization?: string) => (await app.inject({ method: method as 'GET', url, headers: authorization === undefined ? {} : { authorization } })).statusCode
    t.equal(await asked(), 401, `${method} ${pattern} without a credential`)
    t.equal(await asked(`Bearer ${'x'.repeat(43)}`), 401, `${method} ${pattern} with a wrong one`)
    if (pattern.startsWith('/forward-auth')) continue
    t.equal(await asked(`Bearer ${token}`), 403, `${method} ${pattern} with a key`)
    t.equal((await app.inject({ method: method as 'GET', url, headers: { 'x-api-key': token } })).statusCode, 403, `${method} ${pattern} with a key in X-API-Key`)
    if (!forServices.has(pattern)) t.equal(await asked(`Bearer ${service}`), 403, `${method} ${pattern} with a service token`)
  }
})

t.test('docs/openapi.json is what the service says of itself', async (t) => {
  const { ask } = await setupApp(t)
  const { body } = await ask('GET', '/openapi.json')
  const file = new URL('../../docs/openapi.json', import.meta.url)
  t.strictSame(body, JSON.parse(readFileSync(file, 'utf8')), '`npm run docs:openapi` prints it anew')
  for (const [path, methods] of Object.entries<Record<string, { responses: object, security?: unknown, operationId: string }>>(body.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      t.ok(!path.startsWith('/v1/') || operation.operationId, `${method} ${path} has a name`)
      t.ok(!path.startsWith('/v1/') || operation.security, `${method} ${path} names its credential`)
    }
  }
})

/** `METHOD pattern` of every route, from Fastify's own list. */
function routesOf (tree: string): Array<{ method: string, pattern: string }> {
  const stack: string[] = []
  return tree.split('\n').flatMap((line) => {
    const match = /^([│ ]*)(?:├──|└──) (.*?)(?: \(([A-Z, -]+)\))?$/.exec(line)
    if (match === null) return []
    const depth = match[1]!.length / 4
    stack.length = depth
    stack[depth] = match[2]!
    // The tree shows "/x/*" as "*" under "/x".
    const pattern = stack.join('').replace(/([^/])\*$/, '$1/*')
    return (match[3] ?? '').split(', ').filter((method) => method !== '' && method !== 'HEAD').map((method) => ({ method, pattern }))
  })
}
