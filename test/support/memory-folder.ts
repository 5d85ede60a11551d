import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statfsSync, symlinkSync, writeFileSync } from 'node:fs'
import { freemem, tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeOfEndedRuns } from './ended-runs.ts'

const prefix = 'navis-tests-'
const spareBytes = 4 * 1024 ** 3
// Where npm keeps what Node has compiled of it: in the folder for temporary files.
const compiledName = 'node-compile-cache'

export interface MemoryFolder {
  readonly path: string
  remove (): void
}

/**
 * A folder for temporary files that is kept in memory; `undefined` where there is no memory to spare, or nothing in it can be executed. The tests make
 * and remove 100,000 files, and no test cuts the power of the machine: what was written survives the end of a process there too.
 */
export function memoryFolder (parent = '/dev/shm'): MemoryFolder | undefined {
  try {
    const { bavail, bsize } = statfsSync(parent)
    if (Math.min(bavail * bsize, freemem() / 2) < spareBytes) return undefined
    removeOfEndedRuns(parent, prefix)
    const path = mkdtempSync(join(parent, `${prefix}${process.pid}-`))
    const remove = () => { rmSync(path, { recursive: true, force: true }) }
    try {
      if (!isExecutable(path)) throw new Error('Nothing can be executed in it.')
      // Servers run as other users than root.
      chmodSync(path, 0o1777)
      const compiled = join(tmpdir(), compiledName)
      mkdirSync(compiled, { recursive: true })
      symlinkSync(compiled, join(path, compiledName))
    } catch (error) {
      remove()
      throw error
    }
    return { path, remove }
  } catch {
    return undefined
  }
}

function isExecutable (folder: string): boolean {
  const program = join(folder, 'program')
  writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 })
  const { status } = spawnSync(program)
  rmSync(program)
  return status === 0
}
