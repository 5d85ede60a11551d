import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const dist = fileURLToPath(new URL('../../dist/', import.meta.url))
const files = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.js') && !file.startsWith('joined/'))

/** What `node` loads of `node_modules` for a module of `dist/`, as paths. */
function loadedBy (file: string): string[] {
  const script = `
    import { register } from 'node:module'
    register('data:text/javascript,' + encodeURIComponent('import { writeSync } from "node:fs"; export async function load (url, context, next) { writeSync(1, url + String.fromCharCode(10)); return await next(url, context) }'))
    await import(${JSON.stringify(file)})`
  return execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }).split('\n')
}

t.test('the joined packages export what the packages do, and carry their licences', async (t) => {
  for (const [name, file] of [['typebox', 'typebox.js'], ['typebox/compile', 'typebox-compile.js'], ['typebox/value', 'typebox-value.js']] as const) {
    const [own, joined] = [await import(name), await import(`${dist}joined/${file}`)]
    t.strictSame(Object.keys(joined).sort(), Object.keys(own).sort(), name)
    t.match(readFileSync(`${dist}joined/${file}`, 'utf8'), /Permission is hereby granted/)
  }
})

t.test('a module that was built imports the joined files', async (t) => {
  t.ok(files.length > 100)
  for (const file of files) t.notMatch(readFileSync(dist + file, 'utf8'), /(?:from |import\()'(?:typebox|@fastify\/type-provider-typebox)(?:\/|')/, file)
})

t.test('the service loads neither the gateway nor TypeBox\'s own modules before it is asked for them', async (t) => {
  const loaded = loadedBy(`${dist}app.js`)
  t.ok(loaded.some((url) => url.includes('/dist/joined/')))
  t.strictSame(loaded.filter((url) => /node_modules\/(?:typebox|@modelcontextprotocol|zod)\/|dist\/mcp\/mcp-gateway/.test(url)), [])
})

t.test('a service that answers only probes has not loaded Ajv, nor what makes serializers', async (t) => {
  const script = `
    import { createRequire } from 'node:module'
    const { buildApp } = await import(${JSON.stringify(`${dist}app.js`)})
    const { readConfig } = await import(${JSON.stringify(`${dist}config/config.js`)})
    const { createKeys } = await import(${JSON.stringify(`${dist}engine/open-keys.js`)})
    const { keysOptionsOf } = await import(${JSON.stringify(`${dist}engine/keys-options-of.js`)})
    const config = readConfig({ DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none', MANAGEMENT_TOKENS: 'tests=${'s'.repeat(32)}', LOG_LEVEL: 'silent' })
    const app = await buildApp({ config, keys: createKeys(keysOptionsOf(config)) })
    const statuses = []
    for (const url of ['/livez', '/readyz']) {
      const { statusCode, headers, body } = await app.inject(url)
      statuses.push([statusCode, headers['content-type'], Object.keys(JSON.parse(body))[0]])
    }
    process.stdout.write(JSON.stringify({ statuses, loaded: Object.keys(createRequire(${JSON.stringify(dist)}).cache) }), () => process.exit())`
  const { statuses, loaded } = JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', cwd: dist })) as { statuses: unknown, loaded: string[] }
  t.strictSame(statuses, [[200, 'application/json; charset=utf-8', 'status'], [503, 'application/json; charset=utf-8', 'status']])
  t.ok(loaded.some((path) => path.includes('/node_modules/fastify/')))
  t.strictSame(loaded.filter((path) => /node_modules\/(?:ajv|ajv-formats|@fastify\/ajv-compiler|@fastify\/fast-json-stringify-compiler)\//.test(path)), [])
})
