import { createServer } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { openKeys, type Verdict } from 'navis-keys'
import { PauseMeter, type Pauses } from '../support/pause-meter.ts'
import { TokenFile } from '../support/token-file.ts'
import { Costs, type CostOf } from './memory-costs.ts'
import { setting } from './serve.ts'

/** All in bytes, after everything that can be collected has been. */
export interface MemoryUse {
  readonly resident: number
  /** Empty pages that V8 holds ready, resident as well: Node 24 gives them back only when memory is short, Node 26 after 8 s. */
  readonly pooled: number
  readonly heap: number
  /** Pages that the JavaScript heap has taken and not given back, filled or not. */
  readonly heapPages: number
  /** Of array buffers, and of whatever else is outside the JavaScript heap and known to it. */
  readonly outside: number
  readonly entries: number
}

export interface Filled extends MemoryUse {
  readonly pauses: Pauses
  readonly perSecond: number
}

export interface Steady {
  readonly pauses: Pauses
  readonly perSecond: number
}

const chunk = 2000
const perTurn = 100
const sliceMs = 5

const before = memoryUse(0)
const entriesMax = Number(setting('MEMORY_ENTRIES_MAX'))
const keys = await openKeys({ databaseUrl: setting('DATABASE_URL'), memoryEntriesMax: entriesMax })
const file = await TokenFile.open(setting('TOKENS_FILE'))
let filled = 0
let costs: Costs | undefined

const steps: Readonly<Record<string, (amount: number) => Promise<unknown>>> = {
  before: async () => before,
  idle: settledUse,
  fill,
  steady,
  cost
}

/** Each key is asked for once, and none is in memory. Tokens are read as they are needed, and none is kept. */
async function fill (upTo: number): Promise<Filled> {
  const meter = new PauseMeter()
  const [start, from] = [performance.now(), filled]
  while (filled < upTo) {
    const tokens = await file.read(filled, Math.min(chunk, upTo - filled))
    const verdicts: Array<Verdict | Promise<Verdict>> = []
    for (let at = 0; at < tokens.length; at += perTurn) {
      for (const token of tokens.slice(at, at + perTurn)) verdicts.push(keys.verifier.verify(token, { scope: 'mcp:read' }))
      await nextTurn()
    }
    for (const verdict of await Promise.all(verdicts)) assertValid(verdict)
    filled += tokens.length
  }
  const perSecond = (filled - from) / (performance.now() - start) * 1000
  const pauses = meter.stop()
  const use = await settledUse()
  if (use.entries !== filled) throw new Error(`${filled} keys were verified, ${use.entries} are in memory.`)
  return { ...use, pauses, perSecond }
}

/** Hits as fast as they go, in slices between which the loop turns. Drawn from as many keys as last-used keeps between two writes. */
async function steady (seconds: number): Promise<Steady> {
  const tokens = await file.spread(filled, 100_000)
  const end = performance.now() + seconds * 1000
  const meter = new PauseMeter(sliceMs)
  let verified = 0
  while (performance.now() < end) {
    meter.tick()
    const until = performance.now() + sliceMs
    while (performance.now() < until) {
      for (let i = 0; i < 100; i++) hit(tokens[Math.floor(Math.random() * tokens.length)]!)
      verified += 100
    }
    await nextTurn()
  }
  return { pauses: meter.stop(), perSecond: verified / seconds }
}

async function cost (drawn: number): Promise<CostOf> {
  costs ??= await Costs.prepare({ file, entries: filled, verify: hit })
  return await costs.of(drawn)
}

function hit (token: string): void {
  const verdict = keys.verifier.verify(token, { scope: 'mcp:read' })
  if (verdict instanceof Promise) throw new Error('Memory did not answer.')
  assertValid(verdict)
}

function assertValid (verdict: Verdict): void {
  if (!verdict.valid) throw new Error(`A key was refused: ${verdict.reason}.`)
}

async function settledUse (): Promise<MemoryUse> {
  // One write may be under way that began before the last uses.
  await keys.usage.flush()
  await keys.usage.flush()
  await nextTurn()
  return memoryUse(keys.stats().memory?.entries ?? 0)
}

function memoryUse (entries: number): MemoryUse {
  for (let i = 0; i < 3; i++) globalThis.gc!()
  const withPool = process.memoryUsage.rss()
  // As when memory is short. Only this empties the pool.
  globalThis.gc!({ type: 'major', flavor: 'last-resort', execution: 'sync' })
  const { rss, heapUsed, heapTotal, external } = process.memoryUsage()
  return { resident: rss, pooled: Math.max(0, withPool - rss), heap: heapUsed, heapPages: heapTotal, outside: external, entries }
}

createServer((request, response) => {
  const [, name = '', amount = '0'] = request.url!.split('/')
  const step = steps[name]
  if (step === undefined) return response.writeHead(404).end()
  step(Number(amount)).then(
    (found) => response.end(JSON.stringify(found)),
    (error: unknown) => response.writeHead(500).end(String(error))
  )
}).listen(Number(setting('PORT')), setting('HOST'))
