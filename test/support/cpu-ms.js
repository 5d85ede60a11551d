import { readFileSync } from 'node:fs'

/** The processor time in milliseconds of this process and of its children that have ended. */
export function cpuMs () {
  const { user, system } = process.cpuUsage()
  return Math.round((user + system) / 1000 + childrenMs())
}

// Linux tells it in ticks, which are hundredths of a second on every platform that Node runs on. Elsewhere the children are left out.
function childrenMs () {
  try {
    const stat = readFileSync('/proc/self/stat', 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[13]) + Number(fields[14])) * 10
  } catch {
    return 0
  }
}
