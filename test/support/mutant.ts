import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Teardowns } from './servers.ts'

interface Patch {
  readonly find: string
  readonly replace: string
}

/** A module of `src/` with one line replaced; its imports are unchanged. Throws if the patch finds its line never or more than once. */
export async function loadMutant<Module> (t: Teardowns, path: string, { find, replace }: Patch): Promise<Module> {
  const url = new URL(`../../src/${path}`, import.meta.url)
  const pieces = readFileSync(url, 'utf8').split(find)
  if (pieces.length !== 2) throw new Error(`A patch finds its line ${pieces.length - 1} times in ${path}: ${find}`)
  const text = pieces.join(replace).replaceAll(/ from '(\.[^']*)'/g, (_, relative: string) => ` from '${new URL(relative, url).href}'`)
  const dir = mkdtempSync(join(tmpdir(), 'navis-mutant-'))
  t.teardown(() => { rmSync(dir, { recursive: true, force: true }) })
  const file = join(dir, basename(path))
  writeFileSync(file, text)
  return await import(pathToFileURL(file).href) as Module
}
