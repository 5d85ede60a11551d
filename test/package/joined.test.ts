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
