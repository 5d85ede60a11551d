import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { requireProgram } from '../../test/support/programs.ts'
import { awakeLibrary } from './awake.ts'
import { otherCore } from './program.ts'

const script = fileURLToPath(new URL('load.lua', import.meta.url))

/** What a client of a contender sends with each token. */
export interface RequestShape {
  readonly method?: 'GET' | 'POST'
  readonly path: string
  /** The header that carries the token. `authorization`. `null`: none does. */
  readonly header?: string | null
  /** What stands before the token in it. `Bearer `. */
  readonly scheme?: string
  readonly headers?: Readonly<Record<string, string>>
  /** With `TOKEN` where the token goes. */
  readonly body?: string
}

export interface LoadOptions {
  readonly url: string
  readonly shape: RequestShape
  /** A file with one token a line. */
  readonly tokensFile: string
  readonly seconds: number
  /** 64. */
  readonly connections?: number
  /** `sequential` begins at the line `from`, counted from 0, and starts over at the end. `random`. */
  readonly order?: 'random' | 'sequential'
  readonly from?: number
  /** Mean pause of a connection between an answer and its next request, in milliseconds. 0. */
  readonly thinkMs?: number
  /** Each request comes from one of so many addresses, drawn at random, as `X-Forwarded-For` says. 0: it says nothing. */
  readonly addresses?: number
  /** It never sleeps, so that no answer has to wake it up; for loads that send as fast as they are answered. Needs a C compiler. `false`. */
  readonly awake?: boolean
  readonly seed?: number
}

export interface LoadResult {
  readonly requests: number
  readonly durationUs: number
  readonly perSecond: number
  /** Answers of 400 and above. */
  readonly refused: number
  readonly socketErrors: number
  readonly timeouts: number
  readonly p50Us: number
  readonly p90Us: number
  readonly p99Us: number
  readonly p999Us: number
  readonly maxUs: number
  /** How often it had nothing to do and slept, until an answer woke it up: the kernel counts that as the contender's time. */
  readonly sleeps: number
}

const lookEveryMs = 20

/** Loads one address with wrk, one thread on the core that is not measured. Rejects when wrk could not send. */
export async function load (options: LoadOptions): Promise<LoadResult> {
  const { url, shape, tokensFile, seconds, connections = 64, order = 'random', from = 0, thinkMs = 0, addresses = 0, awake = false, seed = 1 } = options
  const child = spawn('taskset', ['-c', String(otherCore), requireProgram('wrk'), '-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '5s', '-s', script, url], {
    env: {
      PATH: process.env['PATH'],
      LD_PRELOAD: awake ? awakeLibrary() : undefined,
      BENCH_TOKENS: tokensFile,
      BENCH_METHOD: shape.method ?? 'GET',
      BENCH_PATH: shape.path,
      BENCH_HEADER: shape.header === null ? '' : shape.header ?? 'authorization',
      BENCH_SCHEME: shape.scheme ?? (shape.header === undefined ? 'Bearer ' : ''),
      BENCH_HEADERS: Object.entries(shape.headers ?? {}).map(([name, value]) => `${name}: ${value}`).join('\n'),
      BENCH_BODY: shape.body ?? '',
      BENCH_ORDER: order,
      BENCH_FROM: String(from),
      BENCH_THINK_MS: String(thinkMs),
      BENCH_ADDRESSES: String(addresses),
      BENCH_SEED: String(seed)
    },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let sleeps = 0
  const looks = setInterval(() => { sleeps = Math.max(sleeps, sleepsOf(child.pid!)) }, lookEveryMs)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += String(chunk) })
  await once(child, 'close')
  clearInterval(looks)
  const [, json] = /^BENCH (.*)$/m.exec(output) ?? []
  if (json === undefined) throw new Error(`wrk did not report:\n${output}`)
  const result = JSON.parse(json) as Omit<LoadResult, 'perSecond' | 'sleeps'>
  return { ...result, sleeps, perSecond: result.requests / result.durationUs * 1e6 }
}

/** Rejects unless every request was answered below 400: a contender that fails must not look fast. */
export async function loadAllGood (options: LoadOptions): Promise<LoadResult> {
  const result = await load(options)
  const { requests, refused, socketErrors, timeouts } = result
  if (requests === 0 || refused + socketErrors + timeouts > 0) {
    throw new Error(`${options.url}${options.shape.path}: ${requests} requests, ${refused} refused, ${socketErrors} socket errors, ${timeouts} timeouts`)
  }
  return result
}

/** Times that its threads gave up the core of their own accord; 0 when it has ended. */
function sleepsOf (pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`).reduce((sum, task) => sum + Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8'))?.[1] ?? 0), 0)
  } catch {
    return 0
  }
}
