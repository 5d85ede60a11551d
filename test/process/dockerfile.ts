import { readFileSync } from 'node:fs'

const root = new URL('../../', import.meta.url)

export interface Instruction {
  readonly name: string
  readonly text: string
}

/** The stages of the project's Dockerfile, each from its FROM. */
export function readStages (): ReadonlyArray<readonly Instruction[]> {
  const text = readFileSync(new URL('Dockerfile', root), 'utf8').replaceAll(/^#.*\n/gm, '').replaceAll(/\\\n\s*/g, ' ')
  const stages: Instruction[][] = []
  for (const line of text.split('\n').filter((line) => line !== '')) {
    const [name = '', ...words] = line.split(' ')
    if (name === 'FROM') stages.push([])
    stages.at(-1)?.push({ name, text: words.join(' ') })
  }
  return stages
}

export function textsOf (stage: readonly Instruction[], name: string): string[] {
  return stage.flatMap((instruction) => instruction.name === name ? [instruction.text] : [])
}

/** The words of a command in exec form. Throws for one that a shell would run. */
export function execForm (text: string): string[] {
  return JSON.parse(text.slice(text.indexOf('['))) as string[]
}

/** Folders and files that a stage takes from the build's context. */
export function copiedFromContext (stage: readonly Instruction[]): string[] {
  return textsOf(stage, 'COPY').filter((text) => !text.startsWith('--from')).flatMap((text) => text.split(' ').slice(0, -1))
}

export function allowedInContext (): string[] {
  const [first, ...others] = readFileSync(new URL('.dockerignore', root), 'utf8').trim().split('\n')
  return first === '*' ? others.flatMap((line) => line.startsWith('!') ? [line.slice(1)] : []) : []
}
