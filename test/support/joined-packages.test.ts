import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { joinPackages } from './joined-packages.ts'

const map = JSON.parse(readFileSync(await joinPackages(), 'utf8')) as Record<string, string>
// Without the hooks, which would lead both names to the same file.
const script = `
  const exported = {}
  for (const [specifier, url] of ${JSON.stringify(Object.entries(map))}) exported[specifier] = [Object.keys(await import(specifier)), Object.keys(await import(url))]
  process.stdout.write(JSON.stringify(exported))`
const exported = JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })) as Record<string, [string[], string[]]>

for (const [specifier, [own, joined]] of Object.entries(exported)) {
  t.test(`${specifier} exports the same when it is joined`, async (t) => {
    t.ok(own.length > 0)
    t.strictSame(joined, own)
  })
}

t.test('a joined package is found again, not made again', async (t) => {
  t.strictSame(JSON.parse(readFileSync(await joinPackages(), 'utf8')), map)
})
