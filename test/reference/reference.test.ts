import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import openapiTypescript, { astToString } from 'openapi-typescript'
import t from 'tap'
import { eventTypes } from '../../src/core/events.ts'
import type { Description, Operation, Schema } from '../../src/reference/description.ts'
import { eventTexts, operations as texts } from '../../src/reference/texts.ts'
import { management, setupApp } from '../routes/setup.ts'
import { recordingUpstream } from '../support/recording-upstream.ts'
import { requireProgram } from '../support/programs.ts'
import { until } from '../support/servers.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const file = join(root, 'docs/openapi.json')
const description = JSON.parse(readFileSync(file, 'utf8')) as Description
const { app, ask } = await setupApp(t)
const listening = app.listen({ host: '127.0.0.1', port: 0 })
const all = Object.entries(description.paths ?? {}).flatMap(([path, item]) => Object.entries(item).map(([method, operation]) => ({ path, method, operation })))

t.test('redocly has no error and no warning about the description', async (t) => {
  const { stdout } = await run(process.execPath, [join(root, 'node_modules/@redocly/cli/bin/cli.js'), 'lint', file, '--format=json'], {
    cwd: root, env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' }
  }).catch((error: { stdout: string }) => error)
  const { totals, problems } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as { totals: object, problems: unknown[] }
  t.same(problems, [])
  t.same(totals, { errors: 0, warnings: 0, ignored: 0 })
})

t.test('every operation has a name, a summary, a paragraph and a tag that is explained', async (t) => {
  const names = new Set<string>()
  const tags = new Set(description.tags?.map(({ name }) => name))
  for (const { path, method, operation } of all) {
    const { operationId = '', summary, description: paragraph, tags: own = [] } = operation
    t.notOk(operationId === '' || names.has(operationId), `${method} ${path} has a name of its own`)
    names.add(operationId)
    t.ok(summary, `${operationId} has a summary`)
    t.ok(paragraph, `${operationId} has a paragraph in src/reference/texts.ts`)
    t.ok(own.length === 1 && tags.has(own[0]!), `${operationId} has one tag, which is explained`)
    for (const [type, { example }] of Object.entries(operation.requestBody?.content ?? {})) t.ok(example, `${operationId} has an example of its body as ${type}`)
  }
  for (const name of Object.keys(texts)) t.ok(names.has(name), `${name} is an operation`)
})

const valueOf = ({ $ref }: { readonly $ref: string }) => description.components!.examples![$ref.slice('#/components/examples/'.length)]!.value as Record<string, unknown>

t.test('every parameter, every member of a schema and every error is explained, and every error has an example', (t) => {
  const visit = (schema: Schema | undefined, place: string): void => {
    if (schema === undefined) return
    for (const [name, member] of Object.entries(schema.properties ?? {})) {
      t.ok(member.description ?? member.$ref, `${place}.${name} is explained`)
      visit(member, `${place}.${name}`)
    }
    visit(schema.items, `${place}[]`)
    for (const one of schema.anyOf ?? []) visit(one, place)
  }
  for (const [name, schema] of Object.entries(description.components!.schemas!)) visit(schema, name)
  for (const { operation } of all) {
    for (const { name, description: text } of operation.parameters ?? []) t.ok(text, `${operation.operationId}: ${name} is explained`)
    for (const [status, { description: text, content }] of Object.entries(operation.responses ?? {})) {
      const media = content?.['application/problem+json']
      if (media === undefined) continue
      t.not(text, 'A problem.', `${operation.operationId} ${status} is explained`)
      for (const [code, example] of Object.entries(media.examples ?? {})) t.match(valueOf(example), { code, ...status !== 'default' && { status: Number(status) } }, `${operation.operationId} ${status}`)
      t.ok(Object.keys(media.examples ?? {}).length > 0, `${operation.operationId} ${status} has an example`)
    }
  }
  t.end()
})

t.test('every pattern can be read in other languages, and what it would have said is said in words', (t) => {
  const texts: string[] = []
  const visit = (value: unknown) => {
    if (typeof value !== 'object' || value === null) return
    if ('pattern' in value && typeof value.pattern === 'string') texts.push(value.pattern)
    Object.values(value).forEach(visit)
  }
  visit(description)
  t.ok(texts.length > 0)
  for (const text of texts) t.notMatch(text, /\(\?[=!<]|\\[pPu]/)
  t.match(description.components!.schemas!['CreateKeyBody']!.properties!['name']!['description'], /1 to 100 characters/)
  t.end()
})

t.test('every answer of 401, 429 and 503 says its headers, and a new key where it is', async (t) => {
  const expected: Record<string, string> = { 401: 'WWW-Authenticate', 429: 'Retry-After', 503: 'Retry-After' }
  t.ok('Location' in description.paths!['/v1/workspaces/{workspace_id}/keys']!['post']!.responses!['201']!.headers!)
  for (const { operation } of all) {
    for (const [status, { headers = {} }] of Object.entries(operation.responses ?? {})) {
      const name = expected[status]
      if (name !== undefined && operation.operationId !== 'readyz') t.ok(name in headers, `${operation.operationId} ${status}: ${name}`)
    }
  }
})

t.test('every example, sent as it stands, is answered as the description says', async (t) => {
  const made = (await ask('POST', '/v1/workspaces/acme/keys', { payload: texts['createKey']!.body as object })).body
  const { usage, calls } = app.apiKeys
  usage.note(made.id, performance.now(), { ip: '203.0.113.9', headers: { 'user-agent': 'curl/8' } })
  usage.noteRefused(made.id, 'insufficient_scope')
  usage.noteCall(made.id, 'search', 'passed')
  calls.note({ id: '01994f6e-5a3d-7c20-8b11-7a3e5f9d1c23', workspaceId: 'acme', keyId: made.id, upstream: 'default', method: 'tools/call', tool: 'search', decision: 'passed', status: 200, ms: 41 }, performance.now())
  await Promise.all([usage.flush(), calls.flush()])
  const path = (text: string) => text.replace('{workspace_id}', 'acme').replace('{key_id}', made.id)
  // What ends keys comes last.
  const ends = ['revokeToken', 'revokeKey', 'revokeWorkspace']
  const order = [...all.filter(({ operation }) => !ends.includes(operation.operationId!)), ...ends.map((name) => all.find(({ operation }) => operation.operationId === name)!)]
  for (const { path: url, method, operation } of order) {
    const { operationId = '' } = operation
    // The example has no signature of GitHub's: test/routes/github-leaks.test.ts sends such.
    if (operationId.startsWith('forwardAuth') || operationId === 'reportLeaksByGithub' || isGateway(operation)) continue
    const [type, media] = Object.entries(operation.requestBody?.content ?? {})[0] ?? []
    const example = withToken(media?.example, made.token)
    const payload = type === 'application/x-www-form-urlencoded' ? new URLSearchParams(example as Record<string, string>).toString() : example
    const answer = await ask(method.toUpperCase(), path(url), payload === undefined ? {} : { payload: payload as object, headers: { 'content-type': type! } })
    const wanted = Object.keys(operation.responses ?? {}).find((status) => status.startsWith('2'))
    t.equal(String(answer.status), wanted, `${operationId}: ${JSON.stringify(answer.body)}`)
    const shown = texts[operationId]?.answer
    if (shown !== undefined) t.same(shapeOf(answer.body), shapeOf(shown), `${operationId} answers with the members that its example shows`)
  }
  for (const method of ['get', 'post', 'put', 'patch', 'delete', 'head', 'options']) {
    const { token } = (await ask('POST', '/v1/workspaces/acme/keys', { payload: { name: 'n', scope: 'mcp:read' } })).body
    const answer = await ask(method.toUpperCase(), '/forward-auth?scope=mcp:read', { headers: { authorization: `Bearer ${token}` } })
    t.equal(answer.status, 200)
    for (const name of Object.keys(description.paths!['/forward-auth']![method]!.responses!['200']!.headers!)) t.ok(name.startsWith('RateLimit') || name in answer.headers, name)
  }
})

t.test('errors are answered as their examples say', async (t) => {
  const exampleOf = (operationId: string, status: number, code: string) => valueOf(all.find(({ operation }) => operation.operationId === operationId)!.operation.responses![status]!.content!['application/problem+json']!.examples![code]!)
  const keys = '/v1/workspaces/acme/keys'
  const body = { name: 'one', scope: 'mcp:read' }
  const { id, token } = (await ask('POST', keys, { payload: body, headers: { 'idempotency-key': 'errors' } })).body
  const gone = (await ask('POST', keys, { payload: body })).body.id as string
  await ask('DELETE', `${keys}/${gone}`)
  const forwarded = async (authorization: string, scope = 'mcp:read') => await ask('GET', `/forward-auth?scope=${scope}`, { headers: { authorization } })
  const rows = [
    ['createKey', 401, 'unauthenticated', await ask('POST', keys, { payload: body, headers: { authorization: 'Bearer wrong' } })],
    ['createKey', 403, 'forbidden', await ask('POST', keys, { payload: body, headers: { authorization: `Bearer ${token}` } })],
    ['createKey', 409, 'already_created', await ask('POST', keys, { payload: body, headers: { 'idempotency-key': 'errors' } })],
    ['createKey', 413, 'body_too_large', await ask('POST', keys, { payload: { ...body, name: 'x'.repeat(20_000) } })],
    ['createKey', 415, 'unsupported_media_type', await ask('POST', keys, { payload: 'x', headers: { 'content-type': 'text/plain' } })],
    ['createKey', 422, 'idempotency_key_reused', await ask('POST', keys, { payload: { ...body, name: 'two' }, headers: { 'idempotency-key': 'errors' } })],
    ['listKeys', 400, 'invalid_cursor', await ask('GET', `${keys}?cursor=${'a'.repeat(54)}`)],
    ['getKey', 404, 'not_found', await ask('GET', `${keys}/nothing`)],
    ['updateKey', 409, 'key_revoked', await ask('PATCH', `${keys}/${gone}`, { payload: { name: 'two' } })],
    ['reportLeaksByGithub', 401, 'unauthenticated', await ask('POST', '/v1/leaks/github', { payload: [] })],
    ['livez', 400, 'invalid_request', await ask('GET', '/livez?access_token=x')],
    ['forwardAuth', 401, 'malformed', await forwarded('Bearer nops_x')],
    ['forwardAuth', 401, 'unauthenticated', await app.inject({ url: '/forward-auth' }).then(({ statusCode: status, body }) => ({ status, body }))],
    ['forwardAuth', 403, 'insufficient_scope', await forwarded(`Bearer ${token}`, 'mcp:write')]
  ] as const
  for (const [operationId, status, code, answer] of rows) {
    const { key_id: keyId, ...wanted } = exampleOf(operationId, status, code)
    t.equal(answer.status, status, `${operationId} ${code}`)
    const { key_id: given, ...said } = typeof answer.body === 'string' ? JSON.parse(answer.body) : answer.body
    t.same(said, wanted, `${operationId} ${code}`)
    if (keyId !== undefined) t.equal(given, id)
  }
})

t.test('a key with a rate limit is told what is left, and when to come back, in the headers that the description names', async (t) => {
  const { token } = (await ask('POST', '/v1/workspaces/acme/keys', { payload: { name: 'n', scope: 'mcp:read', rate_limit: { requests: 1, window_seconds: 3600 } } })).body
  for (const status of ['200', '429']) {
    const answer = await ask('GET', '/forward-auth', { headers: { authorization: `Bearer ${token}` } })
    t.equal(String(answer.status), status)
    for (const name of Object.keys(description.paths!['/forward-auth']!['get']!.responses![status]!.headers!)) t.ok(name.toLowerCase() in answer.headers, `${status}: ${name}`)
  }
})

t.test('the gateway answers its example as the description says, on each path that it serves', async (t) => {
  const upstream = await recordingUpstream(t, (_request, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ jsonrpc: '2.0', id: 1, result: { tools: [{ name: 'search', inputSchema: { type: 'object' } }] } }))
  })
  const { app, create } = await setupApp(t, { environment: { MCP_UPSTREAMS: `default=${upstream.url},crm=${upstream.url}` } })
  const served = app.swagger() as unknown as Description
  const { token } = await create({ scope: 'mcp:write', rate_limit: { requests: 100, window_seconds: 60 } })
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  const send = async (path: string, token: string, message: unknown) => {
    const headers = { authorization: `Bearer ${token}`, accept: 'application/json, text/event-stream', 'content-type': 'application/json' }
    return await fetch(origin + path, { method: 'POST', headers, body: JSON.stringify(message) })
  }
  const gateways = Object.entries(served.paths!).filter(([, item]) => isGateway(Object.values(item)[0]!))
  t.equal(gateways.length, 2)
  t.same(gateways[0], ['/mcp', description.paths!['/mcp']], 'a service without a gateway describes the same')
  t.equal(new Set(gateways.flatMap(([, item]) => Object.values(item).map(({ operationId }) => operationId))).size, 6)
  for (const [path, { post }] of gateways) {
    const { responses, requestBody } = post!
    const answer = await send(path, token, requestBody!.content['application/json']!.example)
    t.equal(answer.status, 200, await answer.text())
    t.ok(answer.headers.get('content-type')!.split(';')[0]! in responses!['200']!.content!)
    for (const name of Object.keys(responses!['200']!.headers!)) t.ok(answer.headers.has(name), name)
    const refused = await send(path, 'nops_x', { jsonrpc: '2.0', id: 1, method: 'tools/list' })
    t.equal(refused.status, 401)
    for (const name of Object.keys(responses!['401']!.headers!)) t.ok(refused.headers.has(name), name)
    t.match(await refused.json(), { jsonrpc: '2.0', error: { code: 401, data: { code: 'malformed' } } })
  }
})

t.test('a webhook is sent as the description says', async (t) => {
  t.same(Object.keys(description.webhooks!), [...eventTypes], 'every type of event has one')
  t.same(Object.keys(eventTexts), [...eventTypes])
  const received: Array<{ headers: IncomingHttpHeaders, body: { type: string } }> = []
  const receiver = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (piece: string) => { body += piece }).on('end', () => {
      received.push({ headers: request.headers, body: JSON.parse(body) as { type: string } })
      response.writeHead(204).end()
    })
  }).listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  t.teardown(() => { receiver.closeAllConnections(); receiver.close() })
  const { app, create } = await setupApp(t, { environment: { WEBHOOK_URLS: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`, WEBHOOK_SECRETS: `whsec_${Buffer.alloc(32, 1).toString('base64')}` } })
  // A receiver is told what happens from the moment on at which it is known.
  await until(async () => {
    await create({ owner_id: 'ada', metadata: { team: 'research' }, allowed_cidrs: ['203.0.113.0/24'], rate_limit: { requests: 1, window_seconds: 1 } })
    return received.length > 0
  }, { timeoutMs: 60_000 })
  t.ok(app.server)
  const { headers, body } = received[0]!
  const { parameters = [], requestBody } = description.webhooks![body.type]!['post']!
  for (const { name } of parameters) t.ok(name in headers, name)
  t.same(shapeOf(body), shapeOf(requestBody!.content['application/json']!.example))
})

t.test('the page and the text name every operation, load nothing from elsewhere, run nothing, and are small', async (t) => {
  const page = await app.inject({ url: '/docs' })
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-security-policy'], /default-src 'none'/)
  t.notMatch(page.headers['content-security-policy'], /unsafe|nonce/, 'there is nothing inline that would need it')
  t.notMatch(page.body, /<script|<style| style=|\son[a-z]+=/)
  const loaded = [...page.body.matchAll(/<(?:link|img|script)[^>]* (?:src|href)="([^"]+)"/g)].map(([, url]) => url!)
  const parts = await Promise.all(loaded.map(async (url) => await app.inject({ url })))
  t.same(parts.map(({ statusCode }) => statusCode), loaded.map(() => 200))
  t.ok([page, ...parts].reduce((sum, { rawPayload }) => sum + rawPayload.length, 0) < 1.2e6)
  const text = (await app.inject({ url: '/llms.txt' })).body
  t.match(text, /^# Navis Keys\n\n> /)
  for (const [, target = ''] of [...page.body.matchAll(/href="([^"#]+)(?:#[^"]*)?"/g), ...text.matchAll(/\]\(([^)#]+)/g)]) t.equal((await app.inject({ url: target })).statusCode, 200, target)
  for (const [type, { post }] of Object.entries(description.webhooks!)) {
    t.match(page.body, new RegExp(`<article id="${post!.operationId}">`))
    t.ok(text.includes(`[POST ${type}](/docs#${post!.operationId})`), type)
  }
  for (const { path, method, operation } of all) {
    if (/^forwardAuth./.test(operation.operationId!)) continue
    t.match(page.body, new RegExp(`<article id="${operation.operationId}">`))
    t.ok(page.body.includes(`href="#${operation.operationId}"`))
    t.ok(text.includes(`[${method.toUpperCase()} ${path}](/docs#${operation.operationId})`), path)
  }
})

t.test('the description, the page and the text are each generated once, however often they are asked for', async (t) => {
  const { app } = await setupApp(t)
  const generate = app.swagger.bind(app)
  let count = 0
  app.swagger = ((...args: []) => { count++; return generate(...args) }) as typeof app.swagger
  for (const url of ['/openapi.json', '/docs', '/llms.txt']) {
    const texts = new Set<string>()
    for (let i = 0; i < 20; i++) texts.add((await app.inject({ url })).body)
    t.equal(texts.size, 1, url)
  }
  t.equal(count, 3)
})

t.test('a client that is generated from the description compiles and works', async (t) => {
  const folder = mkdtempSync(join(root, 'test/reference/generated-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  writeFileSync(join(folder, 'api.ts'), astToString(await openapiTypescript(new URL(`file://${file}`))))
  writeFileSync(join(folder, 'main.ts'), generatedClientsProgram)
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({
    compilerOptions: { module: 'nodenext', target: 'es2023', lib: ['es2023', 'dom'], types: ['node'], strict: true, exactOptionalPropertyTypes: true, skipLibCheck: true, rootDir: '.', outDir: 'out' }, files: ['main.ts']
  }))
  t.equal(await run(process.execPath, [join(root, 'node_modules/typescript-native/bin/tsc'), '-p', folder]).then(() => '', (error: { stdout: string }) => error.stdout), '')
  const url = await listening
  const { stdout } = await run(process.execPath, [join(folder, 'out/main.js')], { env: { PATH: process.env['PATH'], URL: url, TOKEN: management } })
  t.equal(stdout, 'true 1 renamed revoked not_found\n')
})

t.test('a Python client that openapi-generator makes from the description compiles and works', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'navis-python-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  // The generator reads OpenAPI 3.0; this is how users of such generators go about it.
  await run(process.execPath, [join(root, 'node_modules/@apiture/openapi-down-convert/lib/src/cli.js'), '--input', file, '--output', join(folder, 'openapi.json')])
  // The generator writes a boolean that has one value as JavaScript would.
  writeFileSync(join(folder, 'openapi.json'), readFileSync(join(folder, 'openapi.json'), 'utf8').replace(/"enum": \[\s*(?:true|false)\s*\]/g, '"x-only": true'))
  await run(requireProgram('java'), [...shortLived, '-jar', requireProgram('openapi-generator-5.0.0-beta2.jar'), 'generate', '-i', join(folder, 'openapi.json'), '-g', 'python', '-o', folder, '--package-name', 'navis_keys_api', ...noneOfItsOwn], { maxBuffer: 1e8 })
  writeFileSync(join(folder, 'main.py'), pythonProgram)
  const python = requireProgram('python3')
  await run(python, ['-m', 'compileall', '-q', folder])
  const url = await listening
  const { stdout } = await run(python, [join(folder, 'main.py')], { env: { PATH: process.env['PATH'], URL: url, TOKEN: management } })
  t.equal(stdout, 'True 1 renamed revoked not_found\n')
})

/** A program that runs for seconds is not worth the compiler and the threads that make one fast that runs for hours. */
const shortLived = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xshare:auto']

/** Neither pages nor empty tests beside the client. */
const noneOfItsOwn = ['--global-property', ['apiDocs', 'apiTests', 'modelDocs', 'modelTests'].map((name) => `${name}=false`).join()]

const pythonProgram = `
import json
import os
from navis_keys_api import ApiClient, ApiException, Configuration, CreateKeyBody, KeysApi, UpdateKeyBody, VerificationApi, VerifyBody

configuration = Configuration(host=os.environ['URL'])
configuration.access_token = os.environ['TOKEN']
client = ApiClient(configuration)
keys, verification = KeysApi(client), VerificationApi(client)
made = keys.create_key('python', CreateKeyBody(name='n', scope='mcp:read'))
# The generator takes a union for one type that has the members of all, so a verdict is read as it comes.
def verdict_of(token):
    return json.loads(verification.verify(VerifyBody(token=token), _preload_content=False).data)
verdict = verdict_of(made.token)
listed = keys.list_keys('python')
changed = keys.update_key('python', made.id, UpdateKeyBody(name='renamed'))
keys.revoke_key('python', made.id)
after = verdict_of(made.token)
try:
    keys.get_key('other', made.id)
except ApiException as error:
    code = json.loads(error.body)['code']
print(verdict['valid'], len(listed.keys), changed.name, after['reason'], code)
`

const generatedClientsProgram = `
import createClient from 'openapi-fetch'
import type { components, paths } from './api.js'
import type { CallPage, EventPage, ImportResult, Introspection, Key, LeakAnswer, Policy, Usage, Verdict } from '../../../dist/client/client.js'

// The client's own types and the description tell of the same answers.
type Frozen<T> = T extends object ? { readonly [Name in keyof T]: Frozen<T[Name]> } : T
type Same<A, B> = [Frozen<A>] extends [Frozen<B>] ? [Frozen<B>] extends [Frozen<A>] ? true : false : false
type Schemas = components['schemas']
const same: [
  Same<Schemas['Key'], Key>, Same<Schemas['Verdict'], Verdict>, Same<Schemas['Introspection'], Introspection>, Same<Schemas['Policy'], Policy>, Same<Schemas['Usage'], Usage>,
  Same<Schemas['CallPage'], CallPage>, Same<Schemas['EventPage'], EventPage>, Same<Schemas['LeakAnswer'], LeakAnswer>, Same<Schemas['ImportedKeys'], ImportResult>
] = [true, true, true, true, true, true, true, true, true]

const client = createClient<paths>({ baseUrl: process.env['URL']!, headers: { authorization: \`Bearer \${process.env['TOKEN']}\` } })
const path = { workspace_id: 'generated' }
const { data: made } = await client.POST('/v1/workspaces/{workspace_id}/keys', { params: { path }, body: { name: 'n', scope: 'mcp:read' } })
const key_id = made!.id
const { data: verdict } = await client.POST('/v1/verify', { body: { token: made!.token } })
const { data: list } = await client.GET('/v1/workspaces/{workspace_id}/keys', { params: { path } })
const { data: changed } = await client.PATCH('/v1/workspaces/{workspace_id}/keys/{key_id}', { params: { path: { ...path, key_id } }, body: { name: 'renamed' } })
await client.DELETE('/v1/workspaces/{workspace_id}/keys/{key_id}', { params: { path: { ...path, key_id } } })
const { data: after } = await client.POST('/v1/verify', { body: { token: made!.token } })
const { error } = await client.GET('/v1/workspaces/{workspace_id}/keys/{key_id}', { params: { path: { workspace_id: 'other', key_id } } })
console.log(verdict!.valid && same.every(Boolean), list!.keys.length, changed!.name, after!.valid ? '' : after!.reason, error!.code)
`

function isGateway ({ tags = [] }: Operation): boolean {
  return tags.includes('mcp')
}

// The token of an example opens nothing; any other part of it is sent as it stands.
function withToken (example: unknown, token: string): unknown {
  return typeof example === 'object' && example !== null && 'token' in example ? { ...example, token } : example
}

/** The names of all members, and what kind of thing each is. Null stands for whatever may be null. */
function shapeOf (value: unknown): unknown {
  if (Array.isArray(value)) return value.length > 0 ? [shapeOf(value[0])] : []
  if (typeof value !== 'object' || value === null) return 'value'
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([name, member]) => [name, name === 'metadata' || name === 'details' ? 'object' : shapeOf(member)]))
}
