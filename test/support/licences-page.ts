import { readFileSync } from 'node:fs'

interface LockedPackage {
  readonly version?: string
  readonly license?: string
  readonly dev?: boolean
  readonly optional?: boolean
}

const root = new URL('../../', import.meta.url)

/** docs/licences.md: every package that the service can install, by licence, from package-lock.json. */
export function licencesPage (): string {
  const { packages } = JSON.parse(readFileSync(new URL('package-lock.json', root), 'utf8')) as { packages: Record<string, LockedPackage> }
  const byLicence = new Map<string, Set<string>>()
  for (const [path, { version = '', license = 'not said', dev }] of Object.entries(packages)) {
    if (path === '' || dev === true) continue
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
    byLicence.set(license, (byLicence.get(license) ?? new Set()).add(`${name} ${version}`))
  }
  const sections = [...byLicence].sort(([, one], [, other]) => other.size - one.size).map(([licence, names]) => `## ${licence}\n\n${[...names].sort().join(', ')}\n`)
  return `# Licences\n\nPackages that an installation of the service can have, of all platforms, by their licence. The package \`navis-keys\` has a few of them. Printed by \`npm run docs:licences\`.\n\n${sections.join('\n')}`
}
