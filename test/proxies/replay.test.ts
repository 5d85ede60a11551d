import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { freshDatabase, freshRedis } from '../support/servers.ts'
import { documented } from './documented.ts'
import { startService, type Service } from './service.ts'

const identity = ['x-auth-key-id', 'x-auth-workspace-id', 'x-auth-owner-id', 'x-auth-scopes']

interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

interface Answered {
  readonly status: number | undefined
  readonly headers: NodeJS.Dict<string | string[]>
}

// Not `fetch`: it would tidy up paths such as `//x/../y`, which proxies hand on as they came.
async function ask (service: Service, { method, path, headers }: Asked): Promise<Answered> {
  return await new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port: service.port, method, path, headers }, (response) => {
      response.resume().on('end', () => { resolve({ status: response.statusCode, headers: response.headers }) })
    }).on('error', reject).end()
  })
}

interface Dialect {
  /** The request that the proxy sends us about `method path` when its client presented `token`. */
  about (method: string, path: string, token?: string): Asked
  /** Whether the proxy itself asks for a scope; otherwise it judges our `x-auth-scopes`. */
  readonly asksForScope: boolean
}

const service = await startService(t, { DATABASE_URL: await freshDatabase(t), REDIS_URL: await freshRedis(t) })

async function speaks (t: Test, { about, asksForScope }: Dialect): Promise<void> {
  const reader = await service.create({ scope: 'mcp:read', owner_id: 'ada' })
  const writer = await service.create({ scope: 'mcp:write' })
  const paths = ['/', '/things?a=1', '/things?scope=openid&state=x', '/..//things;v=1/%2e%2e/%00?%', '/a/very/long/' + 'x'.repeat(3000)]

  for (const path of paths) {
    const answer = await ask(service, about('GET', path, reader.token))
    t.equal(answer.status, 200, path.slice(0, 40))
    t.match(answer.headers, { 'x-auth-key-id': reader.id, 'x-auth-workspace-id': 'acme', 'x-auth-owner-id': 'ada', 'x-auth-scopes': 'mcp:read' })
    t.match(answer.headers['cache-control'], /no-store/)
  }
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
    t.match(await ask(service, about(method, '/things', writer.token)), { status: 200, headers: { 'x-auth-scopes': 'mcp:read mcp:write' } }, method)
    const refused = await ask(service, about(method, '/things', reader.token))
    if (asksForScope) t.match(refused, { status: 403, headers: { 'www-authenticate': /error="insufficient_scope"/ } }, method)
    else t.match(refused, { status: 200, headers: { 'x-auth-scopes': /^mcp:read$/ } }, method)
  }
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'POST']) {
    t.match(await ask(service, about(method, '/things')), { status: 401, headers: { 'www-authenticate': 'Bearer realm="navis-keys"' } }, method)
  }
  await service.revoke(reader)
  t.match(await ask(service, about('GET', '/things', reader.token)), { status: 401, headers: { 'www-authenticate': /error="invalid_token".*revoked/ } })
}

interface Traefik {
  http: {
    routers: Record<string, { middlewares: string[], service: string, priority: number, rule: string }>
    middlewares: Record<string, { forwardAuth?: { address: string, authRequestHeaders: string[], authResponseHeaders: string[] }, headers?: { customRequestHeaders: Record<string, string> } }>
    services: Record<string, unknown>
  }
}

t.test('Traefik: the documented configuration', async (t) => {
  const { http } = parse(documented('Traefik', 'yaml')) as Traefik

  await t.test('checks first, on every router, drops the token, and names nothing that is not there', async (t) => {
    for (const [name, { middlewares, service }] of Object.entries(http.routers)) {
      t.ok(http.middlewares[middlewares[0] ?? '']?.forwardAuth, name)
      for (const used of middlewares) t.ok(http.middlewares[used], used)
      t.ok(http.services[service], service)
      t.same(http.middlewares[middlewares.at(-1) ?? '']?.headers?.customRequestHeaders, { Authorization: '' })
    }
    for (const { forwardAuth } of Object.values(http.middlewares)) {
      if (forwardAuth !== undefined) t.same(forwardAuth.authResponseHeaders.map((name) => name.toLowerCase()), identity)
    }
  })

  await t.test('its requests are understood', async (t) => {
    // pkg/middlewares/auth/forward.go: always GET on the address, the named headers, and X-Forwarded-*.
    await speaks(t, {
      asksForScope: true,
      about (method, path, token) {
        const router = ['GET', 'HEAD', 'OPTIONS'].includes(method) ? http.routers['reading'] : http.routers['writing']
        const { pathname, search } = new URL(http.middlewares[router?.middlewares[0] ?? '']?.forwardAuth?.address ?? '')
        return {
          method: 'GET',
          path: pathname + search,
          headers: {
            ...token === undefined ? {} : { Authorization: `Bearer ${token}` },
            'X-Forwarded-For': '203.0.113.7',
            'X-Forwarded-Method': method,
            'X-Forwarded-Proto': 'https',
            'X-Forwarded-Host': 'things.example',
            'X-Forwarded-Uri': path,
            'User-Agent': 'Go-http-client/1.1',
            'Accept-Encoding': 'gzip'
          }
        }
      }
    })
  })
})

interface EnvoyFilter {
  name: string
  typed_config: {
    mutations?: { request_mutations: Array<{ remove: string }> }
    failure_mode_allow?: boolean
    http_service?: { path_prefix: string, authorization_response: Record<string, { patterns: Array<{ exact: string }> }> }
  }
}

t.test('Envoy: the documented configuration', async (t) => {
  const config = parse(documented('Envoy', 'yaml'))
  const manager = config.static_resources.listeners[0].filter_chains[0].filters[0].typed_config
  const filters = manager.http_filters as EnvoyFilter[]
  const authorization = filters.find(({ name }) => name === 'envoy.filters.http.ext_authz')?.typed_config

  await t.test('drops what was forged, asks, judges, and only then routes; never lets through what was not checked', async (t) => {
    t.same(filters.map(({ name }) => name.split('.').at(-1)), ['header_mutation', 'ext_authz', 'rbac', 'router'])
    t.same(filters[0]?.typed_config.mutations?.request_mutations.map(({ remove }) => remove), identity)
    t.equal(authorization?.failure_mode_allow, false)
    t.same(authorization?.http_service?.authorization_response['allowed_upstream_headers']?.patterns.map(({ exact }) => exact), identity)
    t.ok(authorization?.http_service?.authorization_response['allowed_client_headers']?.patterns.some(({ exact }) => exact === 'www-authenticate'))
    t.same(manager.route_config.request_headers_to_remove, ['authorization'])
    const clusters = config.static_resources.clusters.map(({ name }: { name: string }) => name)
    t.same(clusters, ['navis_keys', 'your_service'])
  })

  await t.test('its requests are understood', async (t) => {
    // ext_authz.proto: Host, Method, Path, Content-Length (0) and Authorization always go along; the path is prefixed.
    await speaks(t, {
      asksForScope: false,
      about: (method, path, token) => ({
        method,
        path: (authorization?.http_service?.path_prefix ?? '') + path,
        headers: {
          host: 'things.example',
          'content-length': '0',
          ...token === undefined ? {} : { authorization: `Bearer ${token}` },
          'x-forwarded-for': '203.0.113.7',
          'x-envoy-internal': 'true',
          'x-envoy-expected-rq-timeout-ms': '3000'
        }
      })
    })
  })

  await t.test('a scope in the documented path_prefix cannot be argued away by a client', async (t) => {
    const prefix = '/forward-auth/-?scope=mcp:write&path='
    t.ok(readFileSync(new URL('../../docs/proxies.md', import.meta.url), 'utf8').includes(`path_prefix: ${prefix}`))
    const reader = await service.create({ scope: 'mcp:read' })
    const writer = await service.create({ scope: 'mcp:write' })
    for (const path of ['/', '/things', '/things?scope=mcp:read', '/things?a&scope=mcp:read', '/?&scope=mcp:read&scope=mcp:read', '/?&scope=openid', '/?&scope=', '/?&scope[]=mcp:read', '/?&SCOPE=mcp:read', '/?#&scope=mcp:read']) {
      const about = (token: string) => ({ method: 'POST', path: prefix + path, headers: { host: 'x', 'content-length': '0', authorization: `Bearer ${token}` } })
      t.equal((await ask(service, about(reader.token))).status, 403, path)
      t.equal((await ask(service, about(writer.token))).status, 200, path)
    }
  })
})
