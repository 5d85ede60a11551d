import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type * as durations from '../../src/core/window/durations.ts'
import type * as judging from '../../src/core/window/judge.ts'
import type * as silentMembers from '../../src/core/window/silent-members.ts'
import type * as stepping from '../../src/core/window/step.ts'
import type * as remembering from '../../src/core/window/token-memo.ts'
import type * as waiting from '../../src/core/window/waits.ts'

const { strip } = await import(new URL('../support/strip-types.js', import.meta.url).href) as { strip (source: string, name: string): Promise<string> }

/** The protocol's pure modules, as they are or with something of them taken away. */
export type Protocol = typeof durations & typeof judging & typeof silentMembers & typeof stepping & typeof remembering & typeof waiting

/** A line of the source that a mutant does not have. */
export interface Patch {
  /** In `src/core/window/`. */
  readonly file: string
  readonly find: string
  readonly replace: string
}

const source = new URL('../../src/core/window/', import.meta.url)
const files = ['durations', 'judge', 'recent-changes', 'silent-members', 'step', 'token-memo', 'waits'].map((name) => `${name}.ts`)

/** Compiles a copy of the protocol with the patches applied. A patch that does not find its line, or finds it twice, is an error. */
export async function loadProtocol (patches: readonly Patch[] = []): Promise<Protocol> {
  const dir = mkdtempSync(join(tmpdir(), 'navis-protocol-'))
  try {
    mkdirSync(dir, { recursive: true })
    writeFileSync(join(dir, 'package.json'), '{"type":"module"}')
    for (const file of files) {
      const text = patches.filter((patch) => patch.file === file).reduce(patched, readFileSync(new URL(file, source), 'utf8'))
      writeFileSync(join(dir, file.replace(/\.ts$/, '.js')), await compiled(text, file))
    }
    const stray = patches.find((patch) => !files.includes(patch.file))
    if (stray !== undefined) throw new Error(`There is no ${stray.file} in the protocol.`)
    const modules = await Promise.all(['durations', 'judge', 'silent-members', 'step', 'token-memo', 'waits'].map((name) => import(pathToFileURL(join(dir, `${name}.js`)).href)))
    return Object.assign({}, ...modules) as Protocol
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

async function compiled (text: string, file: string): Promise<string> {
  return (await strip(text, file)).replaceAll(/(?<= from '\.\/[a-z-]+)\.ts(?=')/g, '.js')
}

function patched (text: string, { file, find, replace }: Patch): string {
  const pieces = text.split(find)
  if (pieces.length !== 2) throw new Error(`A patch finds its line ${pieces.length - 1} times in ${file}: ${find}`)
  return pieces.join(replace)
}
