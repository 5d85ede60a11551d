import t from 'tap'
import { readdirSync, readFileSync } from 'node:fs'

// Node's own modules, its own files, makers of ids and bounded maps, a reader of addresses: nothing that knows of HTTP, SQL or Redis.
const allowed = /^(?:node:|\.|uuid$|lru-cache$|ipaddr\.js$)/

t.test('core imports no framework and no driver', async (t) => {
  const folder = new URL('../../src/core/', import.meta.url)
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  t.ok(files.length > 10)
  for (const file of files) {
    const imported = [...readFileSync(new URL(file, folder), 'utf8').matchAll(/(?:^(?:import|export)\b[^\n]*\bfrom |^\} from |^import |\bimport\()'([^']+)'/gm)].map(([, name]) => name!)
    for (const name of imported) {
      t.match(name, allowed, `${file} imports ${name}`)
      if (name.startsWith('.')) t.match(new URL(name, new URL(file, folder)).pathname, /\/src\/core\//, `${file} stays in core with ${name}`)
    }
  }
})
