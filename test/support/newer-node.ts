import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The path of a Node of that major version; `undefined` if it is not available. npm caches it, so only the first run needs the registry. */
export async function nodeOf (major: number): Promise<string | undefined> {
  try {
    const { stdout } = await run('npm', ['exec', '--yes', `--package=node@${major}`, '--', 'node', '-p', 'process.execPath'], { cwd: '/', timeout: 120_000 })
    const { stdout: version } = await run(stdout.trim(), ['-p', 'process.versions.node'])
    return version.startsWith(`${major}.`) ? stdout.trim() : undefined
  } catch {
    return undefined
  }
}

/** The Node that runs this if it is 22 or later, otherwise one that is. */
export async function newerNode (): Promise<string | undefined> {
  return Number(process.versions.node.split('.')[0]) >= 22 ? process.execPath : await nodeOf(24)
}
