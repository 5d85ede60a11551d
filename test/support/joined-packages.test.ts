import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { joinPackages, joinService } from './joined-packages.ts'

const map = JSON.parse(readFileSync(await joinPackages(), 'utf8')) as Record<string, string>
// Without the hooks, which would lead both names to the same file.
// tap would print a report of its own: test/support/test-file.test.ts runs on it.
const { tap, ...others } = map
const script = `
  const exported = {}
  for (const [specifier, url] of ${JSON.stringify(Object.entries(others))}) exported[specifier] = [Object.keys(await import(specifier)), Object.keys(await import(url))]
  process.stdout.write(JSON.stringify(exported))`
const exported = JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })) as Record<string, [string[], string[]]>

for (const [specifier, [own, joined]] of Object.entries(exported)) {
  t.test(`${specifier} exports the same when it is joined`, async (t) => {
    t.ok(own.length > 0)
    t.strictSame(joined, own)
  })
}

t.test('the joined tap hooks into nothing that waits', async (t) => {
  t.notMatch(readFileSync(new URL(tap!), 'utf8'), /createHook\(/)
})

t.test('a joined package is found again, not made again', async (t) => {
  t.strictSame(JSON.parse(readFileSync(await joinPackages(), 'utf8')), map)
})

t.test('the joined service starts as the built one does, and finds the files of the project', async (t) => {
  const folder = await joinService()
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  t.equal(execFileSync(process.execPath, [join(folder, 'cli.mjs'), '--version'], { encoding: 'utf8' }).trim(), version)
  const [joined, own] = [join(folder, 'main.mjs'), 'dist/main.js'].map((file) => spawnSync(process.execPath, [file], { encoding: 'utf8', env: { PORT: 'wrong' } }))
  t.match(joined?.stderr, /PORT must be/)
  t.strictSame([joined?.status, joined?.stderr], [own?.status, own?.stderr])
})
