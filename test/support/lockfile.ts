import { readFileSync } from 'node:fs'

interface LockedPackage {
  readonly version: string
  /** Of a package that is installed under another name. */
  readonly name?: string
  readonly resolved?: string
  readonly integrity?: string
}

/** Stands for the registry that npm is set to, whichever that is: `replace-registry-host` in .npmrc. No name that ends so exists (RFC 2606, section 2). */
const anyRegistry = 'https://registry.invalid'

/**
 * package-lock.json with the address of each package. Where it has none, `npm ci` asks the registry for all that it knows of each of 1,100 packages
 * before it asks for the package itself (docs/decisions/0350).
 */
export function lockfileWithAddresses (): string {
  const lock = JSON.parse(readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8')) as { packages: Record<string, LockedPackage> }
  const packages = Object.fromEntries(Object.entries(lock.packages).map(([path, entry]) => [path, entry.integrity === undefined ? entry : withAddress(path, entry)]))
  return `${JSON.stringify({ ...lock, packages }, null, 2)}\n`
}

function withAddress (path: string, { version, name, resolved: _, ...rest }: LockedPackage): LockedPackage {
  const ownName = name ?? path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
  const file = `${ownName.slice(ownName.indexOf('/') + 1)}-${version}.tgz`
  return { ...name === undefined ? {} : { name }, version, resolved: `${anyRegistry}/${ownName}/-/${file}`, ...rest }
}
