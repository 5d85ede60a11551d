import { writeSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import { cpuMs } from './cpu-ms.js'

/*
 * `node --import ./test/support/cpu-time.js file`: when it ends, writes its processor time to descriptor 3, with that of its
 * children. Not counted: servers that are shared with other files.
 */
const variable = 'TEST_CPU_TIME'
const wanted = isMainThread && process.env[variable] !== undefined
// Processes that this one starts must not write to that descriptor.
delete process.env[variable]

if (wanted) process.once('exit', () => { writeSync(3, `${cpuMs()}\n`) })
