import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

const places = fileURLToPath(new URL('../../node_modules/.cache/navis-keys/nodes', import.meta.url))

/** The path of a Node of that major version; `undefined` if it is not available. npm caches it, so only the first run needs the registry. */
export async function nodeOf (major: number): Promise<string | undefined> {
  const place = join(places, String(major))
  const known = await readFile(place, 'utf8').catch(() => undefined)
  if (known !== undefined && await isOf(major, known)) return known
  try {
    const { stdout } = await run('npm', ['exec', '--yes', `--package=node@${major}`, '--', 'node', '-p', 'process.execPath'], { cwd: '/', timeout: 120_000 })
    const found = stdout.trim()
    if (!await isOf(major, found)) return undefined
    // To ask npm takes as long as to start the service.
    await mkdir(places, { recursive: true })
    await writeFile(place, found)
    return found
  } catch {
    return undefined
  }
}

async function isOf (major: number, node: string): Promise<boolean> {
  return await run(node, ['-p', 'process.versions.node']).then(({ stdout }) => stdout.startsWith(`${major}.`), () => false)
}

/** The Node that runs this if it is 22 or later, otherwise one that is. */
export async function newerNode (): Promise<string | undefined> {
  return Number(process.versions.node.split('.')[0]) >= 22 ? process.execPath : await nodeOf(24)
}
