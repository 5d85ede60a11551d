import { build, type BuildOptions, type Plugin } from 'esbuild'
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { SourceMap } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/*
 * Each test file with all the sources that it imports, in one JavaScript file: Node then needs neither the hooks, which run in a thread of their own
 * before Node 22.15, nor a millisecond for each of 100 to 300 modules. Packages stay outside, joined or as they are (decision 0300).
 */
const root = fileURLToPath(new URL('../..', import.meta.url))
const cache = join(root, 'node_modules/.cache')
const prefix = 'tests-of-'
// More at a time would keep more of the results in memory, fewer would parse what they share more often.
const filesAtOnce = 45
const ownName = 'navis-keys'
const urlOfModule = 'import.meta.url'
const urlName = 'urlOfThisModule'

/** Files that tests start as processes: those that `argumentsFor` is asked for. */
export const children: readonly string[] = ['bench/run.ts', 'test/db/children/migrate.ts', 'test/db/children/write-embedded.ts', 'test/mcp/conformance/modern-server.ts', 'test/mcp/conformance/sessions-server.ts', 'test/process/part.ts', 'test/torture/links-process.ts']

/** Files that import a changed copy of a source at run time: there are two kinds of modules in them otherwise. */
const apart = ['test/simulation/', 'test/core/token-memo.test.ts']

export interface JoinedTests {
  /** Where the joined files are, each at the path that it has in the project: `TEST_JOINED` for `argumentsFor`. */
  readonly folder: string
  /** The file to run in place of a test file; `undefined`: run it as it is. */
  fileOf (test: string): string | undefined
  /** The same lines, with the places in the sources instead of those in the joined file. */
  withSources (test: string, lines: readonly string[]): Promise<readonly string[]>
  remove (): void
}

/** `packages`: the file that `joinPackages` has written. Files are named by their paths from the root of the project. */
export async function joinTests (tests: readonly string[], packages: string): Promise<JoinedTests> {
  removeOfEnded()
  const folder = join(cache, `${prefix}${process.pid}`)
  const options = optionsOf(JSON.parse(readFileSync(packages, 'utf8')) as Record<string, string>)
  const fileOf = (test: string) => join(folder, test.replace(/\.ts$/, '.mjs'))
  const joined = new Set<string>()
  const wanted = tests.filter((test) => !apart.some((start) => test.startsWith(start)))
  const joinSome = async (some: readonly string[]): Promise<boolean> => await build({ ...options, entryPoints: [...some], outdir: folder }).then(() => true, () => false)
  for (let i = 0; i < wanted.length; i += filesAtOnce) {
    const some = wanted.slice(i, i + filesAtOnce)
    const areJoined = await joinSome(some)
    // What cannot be joined is run as it is, and says itself what is wrong with it.
    for (const test of some) if (areJoined || await joinSome([test])) joined.add(test)
  }
  return {
    folder,
    fileOf: (test) => joined.has(test) ? fileOf(test) : undefined,
    withSources: async (test, lines) => {
      if (!joined.has(test)) return lines
      const { outputFiles } = await build({ ...options, entryPoints: [test], outdir: folder, write: false, sourcemap: 'external' })
      const map = outputFiles.find(({ path }) => path.endsWith('.map'))
      return map === undefined ? lines : lines.map((line) => withPlaces(line, fileOf(test), map.text))
    },
    remove: () => { rmSync(folder, { recursive: true, force: true }) }
  }
}

function optionsOf (packages: Readonly<Record<string, string>>): BuildOptions {
  return {
    absWorkingDir: root,
    outbase: root,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    define: { [urlOfModule]: urlName },
    keepNames: true,
    legalComments: 'none',
    logLevel: 'silent',
    plugins: [asTheyAre(packages)]
  }
}

// Packages and what has been built stay outside. Each module resolves files relative to its own place.
function asTheyAre (packages: Readonly<Record<string, string>>): Plugin {
  return {
    name: 'as they are',
    setup ({ onLoad, onResolve }) {
      onResolve({ filter: /.*/ }, ({ path, kind, resolveDir }) => {
        if (kind === 'entry-point') return undefined
        if (Object.hasOwn(packages, path)) return { path: packages[path]!, external: true }
        // Under this name a package finds itself only from its own folder.
        if (path === ownName || path.startsWith(`${ownName}/`)) return { path: import.meta.resolve(path), external: true }
        if (!/^\.\.?\//.test(path)) return { path, external: true }
        const file = resolve(resolveDir, path)
        return /^(?:dist|node_modules)\//.test(relative(root, file)) ? { path: pathToFileURL(file).href, external: true } : undefined
      })
      onLoad({ filter: /\.(?:ts|m?js)$/ }, ({ path }) => {
        const text = readFileSync(path, 'utf8')
        // In the first line, so that all lines stay where they are.
        const contents = text.includes(urlOfModule) ? text.replace(/^(#!.*\n)?/, (start) => `${start}const ${urlName} = ${JSON.stringify(pathToFileURL(path).href)}; `) : text
        return { contents, loader: path.endsWith('.ts') ? 'ts' : 'js' }
      })
    }
  }
}

function withPlaces (line: string, file: string, map: string): string {
  const places = new SourceMap(JSON.parse(map) as ConstructorParameters<typeof SourceMap>[0])
  for (const name of [pathToFileURL(file).href, file, relative(root, file)]) {
    line = line.replaceAll(new RegExp(`${name.replaceAll(/[.+]/g, '\\$&')}:(\\d+):(\\d+)`, 'g'), (whole, row: string, column: string) => {
      const entry = places.findEntry(Number(row) - 1, Number(column) - 1)
      return 'originalSource' in entry ? `${relative(root, resolve(dirname(file), entry.originalSource))}:${entry.originalLine + 1}:${entry.originalColumn + 1}` : whole
    })
  }
  return line
}

// Of runs that were killed.
function removeOfEnded (): void {
  mkdirSync(cache, { recursive: true })
  for (const name of readdirSync(cache).filter((name) => name.startsWith(prefix))) {
    try {
      process.kill(Number(name.slice(prefix.length)), 0)
    } catch {
      rmSync(join(cache, name), { recursive: true, force: true })
    }
  }
}
