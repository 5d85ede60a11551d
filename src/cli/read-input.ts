import { readFile } from 'node:fs/promises'
import type { Terminal } from './terminal.ts'
import { wrongCall } from './wrong-call.ts'

/** Reads a file, or standard input if the name is `-`. */
export async function readInput (file: string, terminal: Terminal): Promise<string> {
  if (file === '-') return await terminal.readIn()
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw wrongCall(`The file cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'}). Check its path and its rights.`)
  }
}
