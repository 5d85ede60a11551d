import t from 'tap'
import { tracedForce, tracedLookup, tracedMethods } from '../../src/core/tracing.ts'
import { recordingUpstream } from '../support/recording-upstream.ts'
import { freePort } from '../support/server-process.ts'
import { freshDatabase, freshRedis, until } from '../support/servers.ts'
import { ask, ready, secret, startMain } from './service.ts'

interface ExportedSpan {
  readonly name: string
  readonly kind: number
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly attributes: ReadonlyArray<{ readonly key: string, readonly value: object }>
}

interface Export {
  readonly resourceSpans: ReadonlyArray<{ readonly resource: object, readonly scopeSpans: ReadonlyArray<{ readonly spans: readonly ExportedSpan[] }> }>
}

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const callerSpan = '00f067aa0ba902b7'
/** Makes a process tell that it loads the SDK. */
const hook = `
  import { writeSync } from 'node:fs'
  export async function resolve (specifier, context, next) {
    if (specifier === '@opentelemetry/sdk-node') writeSync(1, 'the SDK is loaded\\n')
    return await next(specifier, context)
  }`
const observed = { NODE_OPTIONS: `--import=${moduleUrl(`import { register } from 'node:module'; register(${JSON.stringify(moduleUrl(hook))})`)}` }
const traced = { traceparent: `00-${traceId}-${callerSpan}-01` }

t.test('what leaves the process is a span of the caller\'s trace, which the upstream gets passed on; no token is in any of it; a collector that goes away costs no request, and holds up no end', async (t) => {
  const [collector, upstream] = [await recordingUpstream(t, (_request, response) => { response.end('{}') }), await recordingUpstream(t)]
  const port = await freePort()
  const service = startMain(t, {
    env: {
      ...observed,
      HOST: '127.0.0.1',
      PORT: String(port),
      DATABASE_URL: await freshDatabase(t),
      REDIS_URL: await freshRedis(t),
      MANAGEMENT_TOKENS: `admin=${secret}`,
      SERVICE_TOKENS: `svc=${secret}-of-a-service`,
      TRUST_WINDOW_MS: '2000',
      MCP_UPSTREAMS: `tools=${upstream.url}`,
      OTEL_EXPORTER_OTLP_ENDPOINT: new URL(collector.url).origin,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_BSP_SCHEDULE_DELAY: '100',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment=test'
    }
  })
  await ready(port)
  const url = `http://127.0.0.1:${port}`
  const keys = `${url}/v1/workspaces/acme/keys`
  const made = JSON.parse((await ask(keys, { method: 'POST', body: '{"name":"n","scope":"mcp:write"}', headers: traced })).body) as { id: string, token: string }
  const withKey = { ...traced, authorization: `Bearer ${made.token}` }
  t.equal((await ask(`${url}/forward-auth`, { headers: withKey })).status, 200)
  await ask(`${url}/mcp/tools`, { method: 'POST', body: '{"jsonrpc":"2.0","id":1,"method":"ping"}', headers: { ...withKey, accept: 'application/json, text/event-stream' } })
  t.equal((await ask(`${keys}/${made.id}`, { method: 'DELETE', headers: traced })).status, 204)

  const spans = () => collector.received.filter(({ url }) => url === '/v1/traces')
    .flatMap(({ body }) => (JSON.parse(body) as Export).resourceSpans).flatMap(({ scopeSpans }) => scopeSpans).flatMap(({ spans }) => spans)
  const named = (name: string) => spans().find((span) => span.name === name)
  const names = ['POST /v1/workspaces/:workspace_id/keys', 'GET /forward-auth', 'postgresql create', 'redis find key', 'mcp tools', 'postgresql revoke', 'wait until in force']
  await until(() => {
    const missing = names.filter((name) => named(name) === undefined)
    if (missing.length > 0) throw new Error(`No span is named ${missing.join(', ')}; there are: ${[...new Set(spans().map(({ name }) => name))].join(', ')}`)
    return true
  })

  for (const name of names) t.equal(named(name)?.traceId, traceId, `${name} is of the caller's trace`)
  t.equal(named('GET /forward-auth')?.parentSpanId, callerSpan)
  t.equal(named('redis find key')?.parentSpanId, named('GET /forward-auth')?.spanId)
  const fromPostgres = spans().find(({ name }) => name.startsWith('postgresql find key'))
  t.equal(fromPostgres?.traceId, traceId)
  t.ok([named('redis find key')?.spanId, named('GET /forward-auth')?.spanId].includes(fromPostgres?.parentSpanId), 'what Redis does not hold is asked of Postgres, for the same request')
  t.equal(spans().some(({ name }) => name.includes('readyz')), false, 'probes are no traffic')
  const passedOn = upstream.received.find(({ method }) => method === 'POST')?.headers['traceparent']
  t.match(passedOn, new RegExp(`^00-${traceId}-${String(named('mcp tools')?.spanId)}-01$`), 'the upstream is told of our span')
  t.match(collector.received[0]?.body, /navis-keys/)
  t.match(collector.received[0]?.body, /deployment\.environment/)
  for (const { body } of collector.received) t.notOk(body.includes(made.token.slice(5)) || body.includes(secret), 'no secret is in what is exported')

  collector.server.closeAllConnections()
  collector.server.close()
  for (let i = 0; i < 20; i++) t.equal((await ask(keys)).status, 200)
  service.process.kill('SIGTERM')
  t.equal(await service.ended(), 0, service.output)
  t.match(service.stdout, /^the SDK is loaded$/m)
})

t.test('without these variables nothing is wrapped and the SDK is not loaded: a verification costs what it would cost without the feature', async (t) => {
  const [lookup, force, store] = [{ find: async () => undefined, findFresh: async () => undefined }, { inForce: async () => {}, announce () {} }, { create: async () => {} }]
  t.equal(tracedLookup(lookup, 'redis', undefined), lookup)
  t.equal(tracedForce(force as never, undefined), force)
  t.equal(tracedMethods(store, ['create'], 'postgresql', undefined), store)

  const port = await freePort()
  const service = startMain(t, { env: { ...observed, PORT: String(port), DATABASE_URL: `postgres://127.0.0.1:${await freePort()}/none`, MANAGEMENT_TOKENS: `admin=${secret}`, LOG_LEVEL: 'error' } })
  await until(async () => (await ask(`http://127.0.0.1:${port}/livez`)).status === 200)
  service.process.kill('SIGINT')
  t.equal(await service.ended(), 0, service.output)
  t.notMatch(service.stdout, /the SDK is loaded/)
})

function moduleUrl (code: string): string {
  return `data:text/javascript,${encodeURIComponent(code)}`
}
