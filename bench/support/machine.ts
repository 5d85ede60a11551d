import { execFileSync } from 'node:child_process'
import { cpus, totalmem } from 'node:os'
import { requireProgram } from '../../test/support/programs.ts'

/** Machine, Node, stores, date and commit, in one line: figures without them say nothing. */
export function machineLine (): string {
  const [cpu] = cpus()
  return [
    `${cpus().length} x ${cpu?.model.trim() ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    `Node ${process.version}`,
    firstLine(requireProgram('postgres'), ['--version']).replace(/^postgres \(PostgreSQL\)/, 'PostgreSQL').replace(/ \(.*\)$/, ''),
    firstLine(requireProgram('redis-server'), ['--version']).replace(/^Redis server v=(\S+).*/, 'Redis $1'),
    new Date().toISOString().slice(0, 10),
    commit()
  ].join('; ')
}

// The page and the pictures that the figures go into are no part of what they are of.
function commit (): string {
  const id = firstLine('git', ['describe', '--always', '--exclude', '*'])
  const isChanged = firstLine('git', ['status', '--porcelain', '--', '.', ':!bench/README.md', ':!bench/plots', ':!test']) !== ''
  return `commit ${id}${isChanged ? '-dirty' : ''}`
}

function firstLine (command: string, args: readonly string[]): string {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n')[0]!.trim()
  } catch {
    return 'unknown'
  }
}
