import { readFileSync } from 'node:fs'
import t from 'tap'
import { licencesPage } from '../support/licences-page.ts'
import { lockfileWithAddresses } from '../support/lockfile.ts'

// All of them allow use in any product, and ask for nothing but their text.
const permissive = new Set(['MIT', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'BlueOak-1.0.0', 'Unlicense', '0BSD', 'CC0-1.0', 'PostgreSQL'])

t.test('docs/licences.md lists what can be installed, and nothing of it asks for more than its text', async (t) => {
  const page = licencesPage()
  t.equal(readFileSync('docs/licences.md', 'utf8'), page, 'run npm run docs:licences')
  const licences = [...page.matchAll(/^## (.+)$/gm)].map(([, licence = '']) => licence)
  t.ok(licences.length > 3)
  for (const licence of licences) t.ok(permissive.has(licence), licence)
  t.match(page, /fastify \d/)
  t.notMatch(page, /neostandard/, 'what only builds and tests it is not installed')
})

t.test('no package runs an install script, and npm asks about none', async (t) => {
  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as { packages: Record<string, { hasInstallScript?: boolean }> }
  const { allowScripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { allowScripts: Record<string, boolean> }
  const withScripts = Object.entries(lock.packages).filter(([path, { hasInstallScript }]) => path !== '' && hasInstallScript === true).map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length))
  t.ok(withScripts.length > 0)
  for (const name of new Set(withScripts)) t.equal(allowScripts[name], false, `${name} (docs/decisions/0195)`)
})

t.test('each package has an address, so that npm asks for nothing else, and none names a registry', async (t) => {
  const lock = readFileSync('package-lock.json', 'utf8')
  t.equal(lock, lockfileWithAddresses(), 'run npm run lockfile')
  t.match(lock, '"https://registry.invalid/@fastify/cookie/-/cookie-')
  t.match(readFileSync('.npmrc', 'utf8'), /^replace-registry-host=registry\.invalid$/m)
})
