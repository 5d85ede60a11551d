import { build, type BuildOptions, type Plugin } from 'esbuild'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { SourceMap } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { removeOfEndedRuns } from './ended-runs.ts'

/*
 * Each test file with all the sources that it imports, in one JavaScript file: Node then needs neither the hooks, which run in a thread of their own
 * before Node 22.15, nor a millisecond for each of 100 to 300 modules. Packages stay outside, joined or as they are (decision 0300).
 * The files of a group share their modules and a process, in which they run one after another (decision 0351).
 */
const root = fileURLToPath(new URL('../..', import.meta.url))
const cache = join(root, 'node_modules/.cache')
const prefix = 'tests-of-'
// More at a time would keep more of the results in memory, fewer would parse what they share more often.
const filesAtOnce = 45
const ownName = 'navis-keys'
const urlOfModule = 'import.meta.url'
const urlName = 'urlOfThisModule'
const tapOfFile = 'navisKeysTapOfFile'

/** Files that tests start as processes: those that `argumentsFor` is asked for. */
export const children: readonly string[] = ['bench/run.ts', 'test/db/children/migrate.ts', 'test/db/children/write-embedded.ts', 'test/mcp/conformance/modern-server.ts', 'test/mcp/conformance/sessions-server.ts', 'test/process/part.ts', 'test/torture/links-process.ts']

/** Files that import a changed copy of a source at run time: there are two kinds of modules in them otherwise. */
const apart = ['test/simulation/', 'test/core/token-memo.test.ts']

export interface JoinedTests {
  /** Where the joined files are, each at the path that it has in the project: `TEST_JOINED` for `argumentsFor`. */
  readonly folder: string
  /** The file to run in place of a test file, or for a group; `undefined`: run the file as it is, or each file of the group by itself. */
  fileOf (test: string): string | undefined
  /** The same lines, with the places in the sources instead of those in the joined file. */
  withSources (test: string, lines: readonly string[]): Promise<readonly string[]>
  remove (): void
}

/**
 * `packages`: the file that `joinPackages` has written. `groups`: by their names, files that run in one process, in this order. Files are named by their
 * paths from the root of the project.
 */
export async function joinTests (tests: readonly string[], packages: string, groups: Readonly<Record<string, readonly string[]>> = {}): Promise<JoinedTests> {
  mkdirSync(cache, { recursive: true })
  removeOfEndedRuns(cache, prefix)
  const folder = join(cache, `${prefix}${process.pid}`)
  const urls = JSON.parse(readFileSync(packages, 'utf8')) as Record<string, string>
  const options = optionsOf(urls)
  const fileOf = (test: string) => join(folder, test.replace(/\.ts$/, '.mjs'))
  const groupOptions = (name: string): BuildOptions => ({ ...optionsOf(urls, groups[name]), entryPoints: [...groups[name]!], outdir: join(folder, 'groups', name), splitting: true, sourcemap: 'external' })
  const groupFile = (name: string) => join(folder, 'groups', name, 'group.mjs')
  const joined = new Set<string>()
  const wanted = tests.filter((test) => !apart.some((start) => test.startsWith(start)))
  const joinSome = async (some: readonly string[]): Promise<boolean> => await build({ ...options, entryPoints: [...some], outdir: folder }).then(() => true, () => false)
  for (let i = 0; i < wanted.length; i += filesAtOnce) {
    const some = wanted.slice(i, i + filesAtOnce)
    const areJoined = await joinSome(some)
    // What cannot be joined is run as it is, and says itself what is wrong with it.
    for (const test of some) if (areJoined || await joinSome([test])) joined.add(test)
  }
  for (const name of Object.keys(groups)) {
    const options = groupOptions(name)
    if (!await build(options).then(() => true, () => false)) continue
    writeFileSync(groupFile(name), programOf(groups[name]!, options.outdir!, urls['tap']!))
    joined.add(name)
  }
  return {
    folder,
    fileOf: (test) => !joined.has(test) ? undefined : Object.hasOwn(groups, test) ? groupFile(test) : fileOf(test),
    withSources: async (test, lines) => {
      if (!joined.has(test)) return lines
      const own: BuildOptions = Object.hasOwn(groups, test) ? groupOptions(test) : { ...options, entryPoints: [test], outdir: folder, sourcemap: 'external' }
      const { outputFiles = [] } = await build({ ...own, write: false })
      const maps = outputFiles.filter(({ path }) => path.endsWith('.map'))
      return lines.map((line) => maps.reduce((line, { path, text }) => withPlaces(line, path.slice(0, -'.map'.length), text), line))
    },
    remove: () => { rmSync(folder, { recursive: true, force: true }) }
  }
}

// Each file as a subtest of the process, to which everything is added that it adds to the tap that it imports.
function programOf (files: readonly string[], folder: string, tap: string): string {
  const subtests = files.map((file) => `t.test(${JSON.stringify(file)}, async (t) => { globalThis.${tapOfFile} = t; await import(${JSON.stringify(pathToFileURL(join(folder, file.replace(/\.ts$/, '.mjs'))).href)}) })`)
  return `import t from ${JSON.stringify(tap)}\n${subtests.join('\n')}\n`
}

function optionsOf (packages: Readonly<Record<string, string>>, group: readonly string[] = []): BuildOptions {
  return {
    absWorkingDir: root,
    outbase: root,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    define: { [urlOfModule]: urlName },
    legalComments: 'none',
    logLevel: 'silent',
    plugins: [asTheyAre(packages, group.map((file) => join(root, file)))]
  }
}

// Packages and what has been built stay outside. Each module resolves files relative to its own place.
function asTheyAre (packages: Readonly<Record<string, string>>, group: readonly string[]): Plugin {
  return {
    name: 'as they are',
    setup ({ onLoad, onResolve }) {
      onResolve({ filter: /.*/ }, ({ path, kind, resolveDir, importer }) => {
        if (kind === 'entry-point') return undefined
        if (path === 'tap' && group.includes(importer)) return { path: importer, namespace: tapOfFile }
        if (Object.hasOwn(packages, path)) return { path: packages[path]!, external: true }
        // Under this name a package finds itself only from its own folder.
        if (path === ownName || path.startsWith(`${ownName}/`)) return { path: import.meta.resolve(path), external: true }
        if (!/^\.\.?\//.test(path)) return { path, external: true }
        const file = resolve(resolveDir, path)
        return /^(?:dist|node_modules)\//.test(relative(root, file)) ? { path: pathToFileURL(file).href, external: true } : undefined
      })
      onLoad({ filter: /.*/, namespace: tapOfFile }, () => ({ contents: `export const t = globalThis.${tapOfFile}\nexport default t\nexport const test = (...all) => t.test(...all)\nexport const testdir = (...all) => t.testdir(...all)\n` }))
      onLoad({ filter: /\.(?:ts|m?js)$/, namespace: 'file' }, ({ path }) => {
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
