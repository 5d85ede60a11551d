import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { runProgram } from '../../src/cli/program.ts'
import { built } from '../support/built.ts'

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

type Env = Readonly<Record<string, string>>

/** Runs a command line in this process, with these settings and no others. */
export async function runCli (args: readonly string[], env: Env, { input = '', isInteractive = false }: { input?: string, isInteractive?: boolean } = {}): Promise<Outcome> {
  let stdout = ''
  let stderr = ''
  const code = await runProgram(args, { env, isInteractive, readIn: async () => input, writeOut: (text) => { stdout += text }, writeError: (text) => { stderr += text } })
  return { code, stdout, stderr }
}

/** Runs the built command line as a process, with these settings and no others. `output`: the file that standard output goes to. */
export async function runCliProcess (args: readonly string[], env: Env, { closesOutput = false, output }: { closesOutput?: boolean, output?: string } = {}): Promise<Outcome> {
  const fd = output === undefined ? undefined : openSync(output, 'w')
  const child = spawn(process.execPath, [built('cli'), ...args], { env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', fd ?? 'pipe', 'pipe'], timeout: 60_000 })
  if (fd !== undefined) closeSync(fd)
  if (closesOutput) child.stdout?.destroy()
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (text) => { stdout += String(text) })
  child.stderr!.on('data', (text) => { stderr += String(text) })
  const code = await new Promise<number | null>((resolve, reject) => { child.on('close', resolve).on('error', reject) })
  return { code, stdout, stderr }
}
