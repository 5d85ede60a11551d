import { readFileSync, writeSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'

/*
 * `node --import ./test/support/cpu-time.js file`: when it ends, writes to descriptor 3 the processor time, in milliseconds,
 * that the process and all children that it waited for have used. Not counted: servers that are shared with other files.
 */
const variable = 'TEST_CPU_TIME'
const wanted = isMainThread && process.env[variable] !== undefined
// What this process starts must not write there too.
delete process.env[variable]

if (wanted) {
  process.once('exit', () => {
    const { user, system } = process.cpuUsage()
    writeSync(3, `${Math.round((user + system) / 1000 + childrenMs())}\n`)
  })
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
