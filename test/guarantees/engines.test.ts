import { readFileSync } from 'node:fs'
import t from 'tap'
import { minVersion, satisfies } from '../support/semver.ts'

const read = <T>(name: string): T => JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')) as T

t.test('on the oldest Node that is claimed, and on the first of each later line, npm warns of no package', async (t) => {
  const { engines } = read<{ engines: { node: string } }>('package.json')
  const { packages } = read<{ packages: Record<string, { engines?: { node?: string } }> }>('package-lock.json')
  const asking = Object.entries(packages).flatMap(([path, { engines }]) => engines?.node === undefined ? [] : [{ path, node: engines.node }])
  t.ok(asking.length > 500)
  for (const version of [minVersion(engines.node)!.version, '24.0.0', '26.0.0']) {
    t.same(asking.filter(({ node }) => !satisfies(version, node)), [], version)
  }
})

t.test('what people read names the same Node', async (t) => {
  const oldest = minVersion(read<{ engines: { node: string } }>('package.json').engines.node)!.version.replace(/\.0$/, '')
  for (const name of ['README.md', 'packages/navis-keys-service/README.md', 'CONTRIBUTING.md']) {
    t.match(readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8'), new RegExp(`Node 22 or later \\(at least ${oldest.replace('.', '\\.')}\\)`), name)
  }
})
