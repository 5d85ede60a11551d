import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { of, parseManifests, render, type Manifest } from './helm.ts'
import { schemaFaults } from './schemas.ts'

const identity = ['x-auth-key-id', 'x-auth-workspace-id', 'x-auth-owner-id', 'x-auth-scopes']
const examples = new Map(readdirSync('deploy/examples').map((name) => [name, parseManifests(readFileSync(`deploy/examples/${name}`, 'utf8'))]))
const all = [...examples.values()].flat()
const at = (name: string) => examples.get(name) ?? []
const port = of(render(), 'Service').find(({ metadata }) => metadata.name === 'navis-keys')?.spec.ports[0].port as number

const spoilt = (kind: string, spoil: (manifest: any) => void) => {
  const manifest = structuredClone(of(all, kind)[0])
  spoil(manifest)
  return manifest as Manifest
}
const spoiltOnes: ReadonlyArray<readonly [Manifest, RegExp]> = [
  [spoilt('SecurityPolicy', ({ spec }) => { spec.extAuth.failopen = false }), /'failopen' does not exist/],
  [spoilt('SecurityPolicy', ({ spec }) => { spec.extAuth.http.headersToExtAuth = [] }), /'headersToExtAuth' does not exist/],
  [spoilt('SecurityPolicy', ({ spec }) => { spec.extAuth.statusOnError = 200 }), /SecurityPolicy may-read: .*200/],
  [spoilt('SecurityPolicy', ({ spec }) => { spec.extAuth.timeout = '3 seconds' }), /"3 seconds"/],
  [spoilt('ClientTrafficPolicy', ({ spec }) => { delete spec.targetRefs[0].name }), /ClientTrafficPolicy drop-forged-identity: .*name/],
  [spoilt('MCPRoute', ({ spec }) => { delete spec.backendRefs }), /MCPRoute mcp: .*backendRefs/],
  [spoilt('MCPRoute', ({ spec }) => { spec.securityPolicy.extauth = {} }), /'extauth' does not exist/]
]
const faults = schemaFaults([...all, ...spoiltOnes.map(([manifest]) => manifest)])

t.test('every object of the examples holds against its schema, with no field that the schema does not know', async (t) => {
  t.same([...examples.keys()].sort(), ['envoy-ai-gateway.yaml', 'envoy-gateway.yaml', 'traefik.yaml'])
  t.same((await faults).slice(0, all.length).flat(), [])
})

t.test('the check finds a wrong value, a missing field and an unknown field of Envoy\'s objects', async (t) => {
  const found = (await faults).slice(all.length)
  for (const [i, [, expected]] of spoiltOnes.entries()) t.match(found[i]?.join('\n'), expected)
})

t.test('Envoy: what is not known is refused as 503, identity comes from the answer alone, and the Service is the chart\'s', async (t) => {
  const asked = [...of(all, 'SecurityPolicy'), ...of(all, 'MCPRoute')].map((manifest) => ({ manifest, auth: (manifest.spec.securityPolicy ?? manifest.spec).extAuth }))
  t.equal(asked.length, 3)
  for (const { manifest: { metadata }, auth } of asked) {
    t.match(auth, { failOpen: false, statusOnError: 503 }, metadata.name)
    t.same(auth.http.headersToBackend, identity, metadata.name)
    t.match(auth.http.backendRefs, [{ name: 'navis-keys', namespace: 'navis-keys', port }], metadata.name)
    t.match(auth.http.pathOverride, /^\/forward-auth\?(scope=mcp:(read|write)|mcp=1)$/, metadata.name)
    t.ok(auth.headersToExtAuth.includes('x-forwarded-for'), metadata.name)
  }
  for (const { metadata, spec } of of(all, 'ClientTrafficPolicy')) t.same(spec.headers.earlyRequestHeaders.remove, identity, metadata.name)
  for (const name of ['envoy-gateway.yaml', 'envoy-ai-gateway.yaml']) {
    t.equal(of(at(name), 'ClientTrafficPolicy').length, 1, `${name} drops forged identity`)
    const kinds = [...of(at(name), 'SecurityPolicy'), ...of(at(name), 'MCPRoute')].map(({ kind }) => kind)
    const granted = of(at(name), 'ReferenceGrant').flatMap(({ spec }) => spec.from.map(({ kind }: { kind: string }) => kind))
    t.ok(kinds.every((kind) => granted.includes(kind)), `${name} lets the policy point into the other namespace`)
  }
})

t.test('every route that an example makes is behind a check, and only reading methods are asked to read', async (t) => {
  const guards = new Map(of(all, 'SecurityPolicy').map(({ spec }) => [spec.targetRefs[0].name as string, spec.extAuth.http.pathOverride as string]))
  for (const { metadata, spec } of of(all, 'HTTPRoute')) {
    const methods = (spec.rules[0].matches ?? []).map(({ method }: { method: string }) => method)
    t.equal(guards.get(metadata.name), `/forward-auth?scope=${methods.length > 0 ? 'mcp:read' : 'mcp:write'}`, metadata.name)
    t.ok(methods.every((method: string) => ['GET', 'HEAD', 'OPTIONS'].includes(method)), metadata.name)
  }
  const addresses = new Map(of(all, 'Middleware').map(({ metadata, spec }) => [metadata.name, spec.forwardAuth?.address as string | undefined]))
  for (const { match, middlewares } of of(all, 'IngressRoute')[0]?.spec.routes ?? []) {
    const [guard, ...others] = middlewares.map(({ name }: { name: string }) => name)
    t.equal(addresses.get(guard), `http://navis-keys.navis-keys.svc/forward-auth?scope=${/Method\(/.test(match) ? 'mcp:read' : 'mcp:write'}`)
    t.same(others, ['drop-token'])
    t.notMatch(match, /POST|PUT|PATCH|DELETE/)
  }
  for (const { spec } of of(all, 'Middleware')) {
    if (spec.forwardAuth !== undefined) t.same(spec.forwardAuth.authResponseHeaders.map((name: string) => name.toLowerCase()), identity)
  }
})
