import { execFileSync } from 'node:child_process'
import { accessSync, constants, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'

interface Program {
  /** Debian packages, for `apt-get install` when the program is missing. */
  readonly packages: readonly string[]
  /** What to do by hand where there is no apt-get, or no right to use it. */
  readonly advice: string
}

const programs = {
  postgres: { packages: ['postgresql'], advice: 'Install PostgreSQL 15 or later (Debian: apt-get install postgresql).' },
  initdb: { packages: ['postgresql'], advice: 'Install PostgreSQL 15 or later (Debian: apt-get install postgresql).' },
  'redis-server': { packages: ['redis-server'], advice: 'Install Redis 7 or later (Debian: apt-get install redis-server).' },
  nginx: { packages: ['nginx-light'], advice: 'Install nginx (Debian: apt-get install nginx-light).' },
  wrk: { packages: ['wrk'], advice: 'Install wrk (Debian: apt-get install wrk).' },
  chromium: { packages: ['chromium'], advice: 'Install Chromium (Debian: apt-get install chromium).' }
} as const satisfies Record<string, Program>

export type ProgramName = keyof typeof programs

/** The path of a program that tests run for real; installs it first where that is possible. */
export function requireProgram (name: ProgramName): string {
  const found = findProgram(name)
  if (found !== undefined) return found
  install(programs[name])
  const installed = findProgram(name)
  if (installed === undefined) throw new Error(`The tests run ${name} for real, and it is not here. ${programs[name].advice}`)
  return installed
}

/** Installs what is missing of all of them, one after the other: two installations at once would lock each other out. */
export function provideAll (): void {
  for (const name of Object.keys(programs) as ProgramName[]) {
    if (findProgram(name) === undefined) install(programs[name])
  }
}

function findProgram (name: ProgramName): string | undefined {
  const folders = [...postgresFolders(), ...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders.map((folder) => join(folder, name)).find(isExecutable)
}

// Debian keeps initdb and postgres out of PATH, one folder a version; the newest first.
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

function install (program: Program): void {
  if (process.getuid?.() !== 0 || !isExecutable('/usr/bin/apt-get')) return
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const run = (args: readonly string[]) => execFileSync('apt-get', args, { env, stdio: ['ignore', process.stderr, process.stderr] })
  console.error(`# installing ${program.packages.join(' ')}`)
  try {
    run(['update', '-q'])
    run(['install', '-q', '-y', '--no-install-recommends', ...program.packages])
  } catch {
    console.error(`# could not install ${program.packages.join(' ')}`)
  }
}
