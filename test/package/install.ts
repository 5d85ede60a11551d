import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Test } from 'tap'

export const run = promisify(execFile)
export const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Packed {
  /** The folder that was packed. */
  readonly folder: string
  /** What `npm publish` would send. */
  readonly tarball: string
}

/** Makes the packages that are published, from what `npm run build` has made, and packs them. */
export async function pack (t: Test): Promise<Record<'navis-keys' | 'navis-keys-service', Packed>> {
  const out = await temporaryFolder(t)
  await run(process.execPath, [join(root, 'packages/build.js'), out])
  const packed = async (name: string): Promise<Packed> => {
    const folder = join(out, name)
    const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', out], { cwd: folder })
    return { folder, tarball: join(out, stdout.trim()) }
  }
  return { 'navis-keys': await packed('navis-keys'), 'navis-keys-service': await packed('navis-keys-service') }
}

/**
 * An empty project with the package in it and what that depends on, in the places where npm would put them and nothing else, `beside` what the
 * application itself has. Copied from the root, by its lock: no registry is needed. An ES module project is in `esm`, a CommonJS one in `cjs`.
 */
export async function install (t: Test, tarball: string, beside: readonly string[] = []): Promise<{ folder: string, installed: readonly string[] }> {
  const folder = await temporaryFolder(t)
  for (const [name, type] of [['esm', 'module'], ['cjs', 'commonjs']] as const) {
    await mkdir(join(folder, name))
    await writeFile(join(folder, name, 'package.json'), JSON.stringify({ name: 'stranger', type }))
  }
  const home = join(folder, 'node_modules/navis-keys')
  await mkdir(home, { recursive: true })
  await run('tar', ['-xzf', tarball, '-C', home, '--strip-components=1'])
  const { dependencies } = JSON.parse(await readFile(join(home, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as Lock
  const installed = closureOf(Object.keys(dependencies), lock)
  const all = new Set([...installed, ...closureOf(beside, lock)])
  // Without what is nested in each: that comes by itself, where it is needed.
  for (const path of all) {
    const nested = join(root, path, 'node_modules')
    await cp(join(root, path), join(folder, path), { recursive: true, filter: (source) => source !== nested })
  }
  return { folder, installed }
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dependencies?: Readonly<Record<string, string>>, readonly optionalDependencies?: Readonly<Record<string, string>> }>>
}

/** The places of everything that packages of the root need, found as Node finds them. */
function closureOf (names: readonly string[], { packages }: Lock): string[] {
  const found = new Set<string>()
  const visit = (name: string, from: string) => {
    for (let base = from; ; base = base.slice(0, Math.max(base.lastIndexOf('/node_modules/'), 0))) {
      const path = base === '' ? `node_modules/${name}` : `${base}/node_modules/${name}`
      if (path in packages) {
        if (found.has(path)) return
        found.add(path)
        for (const needed of Object.keys(packages[path]!.dependencies ?? {})) visit(needed, path)
        return
      }
      if (base === '') throw new Error(`${name}, which ${from || 'the package'} needs, is not in the lock.`)
    }
  }
  for (const name of names) visit(name, '')
  return [...found]
}

/** Compiles the project's files as the strictest of its users would; resolves to what the compiler says, '' for nothing. */
export async function compile (folder: string, { module, files }: { module: 'nodenext' | 'bundler', files: readonly string[] }): Promise<string> {
  const file = join(folder, `tsconfig.${module}.json`)
  await writeFile(file, JSON.stringify({
    compilerOptions: {
      module: module === 'bundler' ? 'esnext' : module,
      moduleResolution: module,
      target: 'es2023',
      lib: ['es2023'],
      types: ['node'],
      strict: true,
      skipLibCheck: false,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      noEmit: module === 'bundler'
    },
    files
  }))
  return await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', file]).then(() => '', (error: { stdout: string }) => error.stdout)
}

export async function temporaryFolder (t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'navis-stranger-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}
