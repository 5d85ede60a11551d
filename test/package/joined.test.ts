import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const dist = fileURLToPath(new URL('../../dist/', import.meta.url))
const files = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.js') && !file.startsWith('joined/'))

const [imported, answered] = ['it is imported\n', 'it has answered\n']

t.test('the joined packages export what the packages do, and carry their licences', async (t) => {
  const packages = [
    { names: ['typebox', 'typebox/compile', 'typebox/value'], licence: /^\/\*! typebox [\d.]+, MIT\n[^*]*Permission is hereby granted/ },
    { names: ['drizzle-orm', 'drizzle-orm/migrator', 'drizzle-orm/pg-core', 'drizzle-orm/postgres-js'], licence: /^\/\*! drizzle-orm [\d.]+, Apache-2\.0\n[^*]*Grant of Copyright License/ }
  ]
  for (const { names, licence } of packages) {
    for (const name of names) {
      const file = `${dist}joined/${name.replaceAll('/', '-')}.js`
      const [own, joined] = [await import(name), await import(file)]
      t.strictSame(Object.keys(joined).sort(), Object.keys(own).sort(), name)
      t.match(readFileSync(file, 'utf8'), licence)
    }
  }
})

t.test('a module that was built imports the joined files', async (t) => {
  t.ok(files.length > 100)
  t.strictSame(files.filter((file) => /(?:from |import\()'(?:typebox|@fastify\/type-provider-typebox|drizzle-orm)(?:\/|')/.test(readFileSync(dist + file, 'utf8'))), [])
})

t.test('the service loads neither the gateway nor the client of a sign-in provider where none is set, nor the modules of TypeBox and Drizzle themselves; while it answers only probes, neither Ajv nor what makes serializers', async (t) => {
  // The loader tells the URL of each module.
  const script = `
    import { writeSync } from 'node:fs'
    import { createRequire, register } from 'node:module'
    register('data:text/javascript,' + encodeURIComponent('import { writeSync } from "node:fs"; export async function load (url, context, next) { writeSync(1, url + String.fromCharCode(10)); return await next(url, context) }'))
    const { buildApp } = await import(${JSON.stringify(`${dist}app.js`)})
    writeSync(1, ${JSON.stringify(imported)})
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
    writeSync(1, ${JSON.stringify(answered)} + JSON.stringify({ statuses, required: Object.keys(createRequire(${JSON.stringify(dist)}).cache) }))
    process.exit()`
  const told = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', cwd: dist })
  const loaded = told.slice(0, told.indexOf(imported)).split('\n')
  t.ok(loaded.some((url) => url.includes('/dist/joined/')))
  t.strictSame(loaded.filter((url) => /node_modules\/(?:typebox|drizzle-orm|@modelcontextprotocol|zod|openid-client|jose)\/|dist\/mcp\/mcp-gateway/.test(url)), [])

  const { statuses, required } = JSON.parse(told.slice(told.indexOf(answered) + answered.length)) as { statuses: unknown, required: string[] }
  t.strictSame(statuses, [[200, 'application/json; charset=utf-8', 'status'], [503, 'application/json; charset=utf-8', 'status']])
  t.ok(required.some((path) => path.includes('/node_modules/fastify/')))
  t.strictSame(required.filter((path) => /node_modules\/(?:ajv|ajv-formats|@fastify\/ajv-compiler|@fastify\/fast-json-stringify-compiler)\//.test(path)), [])
})
