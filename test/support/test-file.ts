import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { Parser, type FinalResults, type Result } from 'tap-parser'
import { stringify } from 'yaml'

const cpuTime = ['--import', new URL('cpu-time.js', import.meta.url).href]

interface RunOptions {
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  readonly nodeOptions: readonly string[]
  /** The path of the Node that runs it. Default: the one that runs this. */
  readonly node?: string | undefined
  /** What Node runs in place of the file itself. */
  readonly program?: string | undefined
  /** A file that reaches this limit ends itself and reports what is still open. */
  readonly timeoutMs: number
  /** How long a file may take to end after a limit or a signal; then all its processes are killed. Default: 30 s. */
  readonly graceMs?: number
  /** From 0, as all others, to 19, only when nothing else wants to run. Default: 0. */
  readonly niceness?: number
}

export interface TestFileResult {
  readonly file: string
  readonly pass: number
  readonly fail: number
  readonly skip: number
  readonly todo: number
  readonly ms: number
  /** Processor time of the process and of its children that have ended. `undefined`: it was killed. */
  readonly cpuMs: number | undefined
  /** The report for people: failures with their details, skips with their reasons, comments, and standard error. */
  readonly lines: readonly string[]
}

/** One test file, in its own process and process group. */
export class TestFile {
  #child: ChildProcess | undefined
  #graceMs = 30_000
  #reason: string | undefined
  readonly #lines: string[] = []
  readonly #totals = { pass: 0, fail: 0, skip: 0, todo: 0 }

  async run (file: string, { cwd, env, nodeOptions, node = process.execPath, program = file, timeoutMs, graceMs = this.#graceMs, niceness = 0 }: RunOptions): Promise<TestFileResult> {
    this.#graceMs = graceMs
    const startedAt = Date.now()
    const child = spawn('nice', ['-n', String(niceness), node, ...nodeOptions, ...cpuTime, program], {
      cwd,
      env: { ...env, TAP: '1', TAP_CHILD_ID: file, TAP_TIMEOUT: String(timeoutMs / 1000), TEST_CPU_TIME: '1' },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'pipe']
    })
    this.#child = child
    if (niceness > 0) yieldGroup(child.pid, niceness)
    const limit = setTimeout(() => { this.end(`took longer than ${timeoutMs / 1000} s`, 'SIGKILL') }, timeoutMs + graceMs)
    let errors = ''
    child.stderr!.setEncoding('utf8').on('data', (text) => { errors += text })
    let cpu = ''
    const report = child.stdio[3] as Readable
    report.setEncoding('utf8').on('data', (text) => { cpu += text })
    const parser = new Parser()
    this.#read(parser, '')
    const parsed = once(parser, 'complete') as Promise<[FinalResults]>
    child.stdout!.pipe(parser)
    const [code, signal] = await once(child, 'close') as [number | null, NodeJS.Signals | null]
    clearTimeout(limit)
    const [results] = await parsed
    // After a crash, the counts say nothing about the tests that did not run.
    if (this.#reason !== undefined || signal !== null) this.#fail(this.#reason ?? `was ended by ${signal}`)
    else if ((!results.ok || code !== 0) && this.#totals.fail === 0) this.#fail(`ended with status ${code}`)
    if (errors.trim() !== '') this.#lines.push('standard error:', ...indented(errors))
    return { file, ...this.#totals, ms: Date.now() - startedAt, cpuMs: cpu === '' ? undefined : Number(cpu), lines: this.#lines }
  }

  /** Ends it and all processes that it started. */
  end (reason: string, signal: NodeJS.Signals): void {
    this.#reason ??= reason
    this.#signal(signal)
    if (signal !== 'SIGKILL') setTimeout(() => { this.#signal('SIGKILL') }, this.#graceMs).unref()
  }

  #signal (signal: NodeJS.Signals): void {
    if (this.#child?.pid === undefined) return
    try {
      process.kill(-this.#child.pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }

  #read (parser: Parser, path: string): void {
    let failedBefore = 0
    parser.on('child', (child) => {
      failedBefore = this.#totals.fail
      this.#read(child, `${path}${child.name} > `)
    })
    parser.on('comment', (comment) => {
      if (!/^# (?:Subtest:|time=|failed \d|\{ total|timeout=|test count)/.test(comment)) this.#lines.push(comment.trim())
    })
    parser.on('assert', (result) => { this.#count(result, path, failedBefore) })
    parser.on('complete', ({ failures }) => {
      for (const { tapError } of failures) if (tapError !== null) this.#fail(`${path}${tapError}`)
    })
    parser.on('bailout', (reason) => { this.#fail(`bailed out: ${reason}`) })
  }

  // The line that closes a subtest repeats what is in it, unless the subtest itself failed, such as by its plan.
  #count ({ ok, skip, todo, name, diag, closingTestPoint }: Result, path: string, failedBefore: number): void {
    if (skip !== false || todo !== false) {
      this.#totals[skip !== false ? 'skip' : 'todo']++
      this.#lines.push(`${skip !== false ? 'skipped' : 'to do'}: ${path}${name}: ${skip || todo}`)
    } else if (ok) {
      if (!closingTestPoint) this.#totals.pass++
    } else if (!closingTestPoint || this.#totals.fail === failedBefore) {
      this.#fail(`${path}${name}`, diag)
    }
  }

  #fail (what: string, details: Record<string, unknown> | null = null): void {
    this.#totals.fail++
    this.#lines.push(`failed: ${what}`)
    const { at, stack, source, ...rest } = details ?? {}
    if (Object.keys(rest).length > 0) this.#lines.push(...indented(stringify(rest, (_key, value: unknown) => typeof value === 'function' || typeof value === 'symbol' ? String(value) : value, { lineWidth: 0 })))
    for (const text of [source, stack ?? placeOf(at)]) if (typeof text === 'string') this.#lines.push(...indented(text))
  }
}

// Where Linux shares the processors among groups of processes first, the priority of a process only counts within its group.
function yieldGroup (pid: number | undefined, niceness: number): void {
  try {
    writeFileSync(`/proc/${pid}/autogroup`, String(niceness))
  } catch { /* groups are not used here */ }
}

function placeOf (at: unknown): string | undefined {
  const { fileName, lineNumber, columnNumber } = (at ?? {}) as { fileName?: string, lineNumber?: number, columnNumber?: number }
  return fileName === undefined ? undefined : `${fileName}:${lineNumber}:${columnNumber}`
}

function indented (text: string): string[] {
  return text.trimEnd().split('\n').map((line) => `    ${line}`)
}
