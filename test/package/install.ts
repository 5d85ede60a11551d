import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { removeOfEndedRuns } from '../support/ended-runs.ts'
import { isLong } from '../support/long.ts'

export const run = promisify(execFile)
export const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Packed {
  /** The folder that was packed. */
  readonly folder: string
  /** What `npm publish` would send. */
  readonly tarball: string
}

type Name = 'navis-keys' | 'navis-keys-service'

const strangers = 'navis-stranger-of-'
const packagesOfRuns = join(root, 'node_modules/.cache/navis-keys/packed')
const ingredients = ['dist', 'packages', 'drizzle', 'assets', 'package.json', 'CHANGELOG.md', 'SECURITY.md', 'LICENSE']

/** The packages that are published, made and packed from what `npm run build` has made: once, for every test that needs them. */
export async function pack (): Promise<Record<Name, Packed>> {
  const home = join(packagesOfRuns, await digestOf(ingredients))
  if (!existsSync(home)) await packInto(home)
  const packed = async (name: Name): Promise<Packed> => ({ folder: join(home, name), tarball: join(home, `${name}.tgz`) })
  return { 'navis-keys': await packed('navis-keys'), 'navis-keys-service': await packed('navis-keys-service') }
}

// Renamed into place: another test that comes meanwhile finds everything or nothing.
async function packInto (home: string): Promise<void> {
  await removeOld()
  await mkdir(packagesOfRuns, { recursive: true })
  const out = await mkdtemp(join(packagesOfRuns, '.new-'))
  await run(process.execPath, [join(root, 'packages/build.js'), out])
  const names = ['navis-keys', 'navis-keys-service'] as const
  const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', out, ...names.map((name) => `./${name}`)], { cwd: out })
  const packed = stdout.trim().split('\n')
  for (const [index, name] of names.entries()) await rename(join(out, packed[index]!), join(out, `${name}.tgz`))
  await rename(out, home).catch(async (error: unknown) => {
    await rm(out, { recursive: true, force: true })
    if (!existsSync(home)) throw error
  })
}

async function digestOf (paths: readonly string[]): Promise<string> {
  const hash = createHash('sha256')
  for (const path of paths) {
    const isFolder = (await stat(join(root, path))).isDirectory()
    const files = isFolder ? (await readdir(join(root, path), { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name)) : [join(root, path)]
    for (const file of files.sort()) if (!file.endsWith('.tsbuildinfo')) hash.update(`${relative(root, file)}\0`).update(await readFile(file))
  }
  return hash.digest('hex').slice(0, 16)
}

// Of sources as they were: a test of another run may still be using what is of today.
async function removeOld (): Promise<void> {
  for (const name of await readdir(packagesOfRuns).catch(() => [])) {
    const folder = join(packagesOfRuns, name)
    const { mtimeMs } = await stat(folder).catch(() => ({ mtimeMs: Date.now() }))
    if (mtimeMs < Date.now() - 86_400_000) await rm(folder, { recursive: true, force: true })
  }
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
  const home = join(folder, 'node_modules', basename(tarball, '.tgz'))
  await mkdir(home, { recursive: true })
  await run('tar', ['-xzf', tarball, '-C', home, '--strip-components=1'])
  const { dependencies, optionalDependencies } = JSON.parse(await readFile(join(home, 'package.json'), 'utf8')) as { dependencies: Record<string, string>, optionalDependencies?: Record<string, string> }
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as Lock
  // Of the optional ones npm installs those of this machine, which is what the root has.
  const installed = closureOf([...Object.keys(dependencies), ...Object.keys(optionalDependencies ?? {}).filter((name) => existsSync(join(root, 'node_modules', name)))], lock)
  await copyPackages([...new Set([...installed, ...closureOf(beside, lock)])], folder)
  return { folder, installed }
}

// Only those nested packages that are asked for come along, each after the one that holds it.
async function copyPackages (paths: readonly string[], folder: string): Promise<void> {
  const depthOf = (path: string) => path.split('/node_modules/').length
  for (let depth = 1, deeper = paths; deeper.length > 0; depth++) {
    const some = deeper.filter((path) => depthOf(path) === depth)
    deeper = deeper.filter((path) => depthOf(path) > depth)
    await copyFromRoot(some, folder)
    for (const path of some) await rm(join(folder, path, 'node_modules'), { recursive: true, force: true })
  }
}

/** Copies files and folders of the root to the same paths in another folder. Linked where that can be done: thousands of files, which nobody changes. */
export async function copyFromRoot (paths: readonly string[], folder: string): Promise<void> {
  for (const parent of new Set(paths.map((path) => dirname(path)))) {
    const target = join(folder, parent)
    await mkdir(target, { recursive: true })
    const sources = paths.filter((path) => dirname(path) === parent).map((path) => join(root, path))
    await run('cp', ['-al', ...sources, target]).catch(async () => await run('cp', ['-a', ...sources, target]))
  }
}

/**
 * `npm install` in an empty folder, as anybody would, of a packed package and what else is named, in the long form; otherwise what npm would put there, copied from the root.
 * Resolves to nothing where no registry is reached.
 */
export async function installed (t: Test, tarball: string, ...beside: string[]): Promise<string | undefined> {
  if (!isLong) return await copied(t, tarball, beside.map((spec) => spec.replace(/(?!^)@.*/, '')))
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'stranger', private: true, type: 'module' }))
  try {
    await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--no-update-notifier', tarball, ...beside], { cwd: folder })
    return folder
  } catch (error) {
    const { stderr } = error as { stderr: string }
    if (!/ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN/.test(stderr)) throw error
    t.comment('The registry of npm cannot be reached, and this installs packages from it.')
    return undefined
  }
}

async function copied (t: Test, tarball: string, beside: readonly string[]): Promise<string> {
  const { folder } = await install(t, tarball, beside)
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'stranger', private: true, type: 'module' }))
  const bins = join(folder, 'node_modules/.bin')
  await mkdir(bins)
  for (const name of [basename(tarball, '.tgz'), ...beside]) {
    const { bin = {} } = JSON.parse(await readFile(join(folder, 'node_modules', name, 'package.json'), 'utf8')) as { bin?: string | Record<string, string> }
    for (const [command, path] of Object.entries(typeof bin === 'string' ? { [basename(name)]: bin } : bin)) {
      const program = join(folder, 'node_modules', name, path)
      await chmod(program, 0o755)
      await symlink(program, join(bins, command))
    }
  }
  return folder
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
  return await complaintsOf(runCompiler(['-p', file], folder))
}

/** The newest TypeScript, with a thread in which it checks and few collections of garbage: several threads check much of the same, and finish no sooner beside other tests. */
export async function runCompiler (args: readonly string[], cwd: string): Promise<unknown> {
  return await run(process.execPath, [join(root, 'node_modules/typescript-native/bin/tsc'), '--singleThreaded', ...args], { cwd, env: { ...process.env, GOGC: '400' } })
}

/** What a compiler has said; '' for nothing. */
export async function complaintsOf (compilation: Promise<unknown>): Promise<string> {
  return await compilation.then(() => '', (error: { stdout: string }) => error.stdout)
}

/** On the disk, where the project is likely to be: a link cannot lead out of the folder of a run, which is in memory. */
export async function temporaryFolder (t: Test): Promise<string> {
  const parent = process.env['TEST_CACHE_DIR'] ?? tmpdir()
  removeOfEndedRuns(parent, strangers)
  const folder = await mkdtemp(join(parent, `${strangers}${process.pid}-`))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}
