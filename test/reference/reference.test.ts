import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import openapiTypescript, { astToString } from 'openapi-typescript'
import t from 'tap'
import type { Description } from '../../src/reference/complete.ts'
import { operations as texts } from '../../src/reference/texts.ts'
import { management, setupApp } from '../routes/setup.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const file = join(root, 'docs/openapi.json')
const description = JSON.parse(readFileSync(file, 'utf8')) as Description
const { app, ask } = await setupApp(t)
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
    if (operationId.startsWith('forwardAuth') || operationId === 'reportLeaksByGithub') continue
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
    for (const name of Object.keys(description.paths!['/forward-auth']![method]!.responses!['200']!.headers!)) t.ok(name in answer.headers, name)
  }
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
  for (const { path, method, operation } of all) {
    if (/^forwardAuth./.test(operation.operationId!)) continue
    t.match(page.body, new RegExp(`<article id="${operation.operationId}">`))
    t.ok(page.body.includes(`href="#${operation.operationId}"`))
    t.ok(text.includes(`[${method.toUpperCase()} ${path}](/docs#${operation.operationId})`), path)
  }
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
  t.equal(await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder]).then(() => '', (error: { stdout: string }) => error.stdout), '')
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const { stdout } = await run(process.execPath, [join(folder, 'out/main.js')], { env: { PATH: process.env['PATH'], URL: url, TOKEN: management } })
  t.equal(stdout, 'true 1 renamed revoked not_found\n')
})

const generatedClientsProgram = `
import createClient from 'openapi-fetch'
import type { components, paths } from './api.js'
import type { Key } from '../../../dist/client/client.js'

// The client's own types and the description tell of the same key.
type Same<A, B> = [A] extends [B] ? [keyof B] extends [keyof A] ? true : false : false
const same: Same<components['schemas']['Key'], Key> = true

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
console.log(verdict!.valid && same, list!.keys.length, changed!.name, after!.valid ? '' : after!.reason, error!.code)
`

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
