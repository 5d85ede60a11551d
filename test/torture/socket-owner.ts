import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

const listening = '0A'

/**
 * Whether the process itself listens on that TCP port; undefined where the system has no /proc to tell. An orphan
 * of an earlier run that still answers on a port makes every figure worthless.
 */
export function listensOn (pid: number, port: number): boolean | undefined {
  let tables
  try {
    tables = readFileSync('/proc/net/tcp', 'latin1') + readFileSync('/proc/net/tcp6', 'latin1')
  } catch {
    return undefined
  }
  const inodes = tables.split('\n').map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => state === listening && parseInt(local?.split(':')[1] ?? '', 16) === port)
    .map((fields) => `socket:[${fields[9]}]`)
  const own = readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`))
  return inodes.length === 1 && own.includes(String(inodes[0]))
}

// A descriptor may be closed between listing and reading.
function linkOf (path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
