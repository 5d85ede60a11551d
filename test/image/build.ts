import { execFileSync } from 'node:child_process'
import { appendFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { requireProgram } from '../support/programs.ts'

const suite = 'bookworm'
const nodeMajor = 24
const cache = join(homedir(), '.cache/navis-keys/image')
const authorities = '/etc/ssl/certs/ca-certificates.crt'

/** An image store of the test's own: nothing of it is seen by, or left in, the one of the machine. */
export class ImageStore {
  readonly #folder: string

  constructor (folder: string) {
    this.#folder = folder
  }

  buildah (...args: string[]): string {
    return execFileSync(requireProgram('buildah'), ['--root', join(this.#folder, 'root'), '--runroot', join(this.#folder, 'run'), '--storage-driver', 'vfs', ...args], {
      encoding: 'utf8',
      env: { ...process.env, BUILDAH_ISOLATION: 'chroot' },
      stdio: ['ignore', 'pipe', 'inherit'],
      maxBuffer: 64 * 1024 * 1024
    }).trim()
  }

  /** A base such as `node:24-slim` is, made here: Debian, the `node` and the `npm` that npm has. No base image can be pulled where these tests run. */
  base (name: string): void {
    const container = this.buildah('from', 'scratch')
    this.buildah('copy', container, baseFolder(), '/')
    this.buildah('config', '--env', 'PATH=/usr/local/bin:/usr/bin:/bin', '--cmd', 'node', container)
    this.buildah('commit', '--quiet', '--rm', container, name)
  }

  /** By the project's Dockerfile, as it stands there. */
  build (name: string, { base, revision }: { base: string, revision: string }): void {
    this.buildah('bud', '--quiet', '--isolation', 'chroot', '--pull-never', '--format', 'docker', '--build-arg', `BASE=${base}`, '--build-arg', `REVISION=${revision}`, '--tag', name, '.')
  }

  /** What the image says of itself. */
  config (name: string): { User: string, Env: string[], Cmd: string[], Labels: Record<string, string>, Healthcheck?: { Test: string[] }, WorkingDir: string } {
    const { Docker: { config } } = JSON.parse(this.buildah('inspect', '--type', 'image', name)) as { Docker: { config: ReturnType<ImageStore['config']> } }
    return config
  }

  /** Its files, for as long as the test runs. */
  mount (name: string): string {
    return this.buildah('mount', this.buildah('from', '--pull-never', name))
  }

  /** What a registry stores, and a node pulls: layers compressed. */
  pulledBytes (name: string): number {
    const folder = join(this.#folder, 'pushed')
    this.buildah('push', '--quiet', '--format', 'v2s2', name, `dir:${folder}`)
    return (JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as { layers: Array<{ size: number }> }).layers.reduce((sum, { size }) => sum + size, 0)
  }
}

function baseFolder (): string {
  const folder = join(cache, `${suite}-node${nodeMajor}`)
  if (existsSync(folder)) return folder
  mkdirSync(cache, { recursive: true })
  const draft = mkdtempSync(join(cache, '.new-'))
  try {
    execFileSync(requireProgram('debootstrap'), ['--variant=minbase', '--include=ca-certificates', suite, join(draft, 'base')], { stdio: ['ignore', 'ignore', 'inherit'] })
    const base = join(draft, 'base')
    for (const waste of ['var/cache/apt', 'var/lib/apt/lists', 'usr/share/doc', 'usr/share/man', 'usr/share/locale']) rmSync(join(base, waste), { recursive: true, force: true })
    cpSync(join(unpacked(draft, `node-linux-${process.arch}@${nodeMajor}`), 'bin/node'), join(base, 'usr/local/bin/node'))
    const npm = join(base, 'usr/local/lib/node_modules/npm')
    cpSync(unpacked(draft, 'npm@11'), npm, { recursive: true })
    for (const name of ['npm', 'npx']) execFileSync('ln', ['-s', `../lib/node_modules/npm/bin/${name}-cli.js`, join(base, 'usr/local/bin', name)])
    // As in the base that is published: initdb asks for the name of its user.
    appendFileSync(join(base, 'etc/passwd'), 'node:x:1000:1000::/home/node:/bin/bash\n')
    appendFileSync(join(base, 'etc/group'), 'node:x:1000:\n')
    // The way to packages is this machine's: its certificates, and its npm registry.
    if (existsSync(authorities)) cpSync(authorities, join(base, authorities))
    const settings = ['registry', 'cafile'].map((name) => [name, execFileSync('npm', ['config', 'get', name], { encoding: 'utf8' }).trim()] as const)
    mkdirSync(join(base, 'usr/local/etc'), { recursive: true })
    writeFileSync(join(base, 'usr/local/etc/npmrc'), settings.filter(([, value]) => !['null', 'undefined', ''].includes(value)).map(([name, value]) => `${name}=${value}\n`).join(''))
    renameSync(base, folder)
    return folder
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

function unpacked (folder: string, spec: string): string {
  const [{ filename = '' } = {}] = JSON.parse(execFileSync('npm', ['pack', '--json', '--ignore-scripts', spec], { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })) as Array<{ filename?: string }>
  const target = mkdtempSync(join(folder, 'package-'))
  execFileSync('tar', ['-xzf', join(folder, filename), '-C', target, '--strip-components=1'])
  return target
}
