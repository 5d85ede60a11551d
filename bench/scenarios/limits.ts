import { readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import postgres from 'postgres'
import type { RateLimit } from '../../src/core/key-record.ts'
import type { Bench } from '../bench.ts'
import { bare, plugin } from '../contenders.ts'
import type { LimitCosts } from '../contenders/limit-costs.ts'
import type { Filled, MemoryUse } from '../contenders/memory.ts'
import { addedCpuUs, comparisonTable, ratioOf } from '../support/compare.ts'
import type { Contender } from '../support/contender.ts'
import { interleave } from '../support/interleave.ts'
import { otherCore, Program, servingCore } from '../support/program.ts'
import { number, type Section, type Table } from '../support/section.ts'
import { seedKeys } from '../support/seed.ts'
import { letThrough, type LetThrough } from '../support/shared-limit.ts'
import { TokenFile } from '../support/token-file.ts'
import { usageWritesOf, useEveryKey, verifications, type UsageWrites } from '../support/usage-writes.ts'

/** Such that nothing is ever refused. */
const wide: RateLimit = { requests: 1_000_000, windowSeconds: 1 }

const loads = [
  { title: 'half at each', shares: [0.5, 0.5], isEven: true },
  { title: 'nine of ten at one', shares: [0.9, 0.1], isEven: false },
  { title: 'all at one', shares: [1, 0], isEven: false }
] as const
type Load = typeof loads[number]

/** Requests at a limited key, in those that its limit allows. */
const pace = 3

export async function limits (bench: Bench): Promise<Section> {
  const [databaseUrl, apartUrl] = [await bench.database(), await bench.database()]
  const [count, many] = [bench.count(1000), bench.count(100_000)]
  const seed = async (workspaceId: string, count: number, options: { rateLimit?: RateLimit, databaseUrl?: string } = {}) => await seedKeys({ databaseUrl, dir: bench.dir, count, workspaceId, keysPerWorkspace: 50, ...options })
  const files: Files = { plain: await seed('plain', count), limited: await seed('limited', count, { rateLimit: wide }) }
  const manyFiles: Files = { plain: await seed('many-plain', many), limited: await seed('many-limited', many, { rateLimit: wide }) }
  const apart = { databaseUrl: apartUrl, tokensFile: await seed('apart', count, { rateLimit: wide, databaseUrl: apartUrl }) }

  const contenders = contendersOf(bench, databaseUrl, files, apart)
  const measurements = await interleave(bench, contenders, { awake: true })
  const costs = await costsOf(bench, databaseUrl, files)
  const memory = { plain: await bytesPerKey(bench, databaseUrl, manyFiles.plain, many), limited: await bytesPerKey(bench, databaseUrl, manyFiles.limited, many) }
  const writes = await writesOf(bench, databaseUrl, manyFiles.limited)
  const shared = await sharedOf(bench)

  const limit = sharedLimitOf(bench)
  const bound = 1.1 * limit.requests + chunkOf(limit)
  const most = (of: keyof LetThrough) => Math.max(...[...shared.values()].map((found) => found[of]))
  const even = [...shared].filter(([{ isEven }]) => isEven).map(([, found]) => found.ofAllowed)
  return {
    title: 'Keys with a limit, and what they are used for',
    about: 'Two header fields that never change, as short as `RateLimit` and `RateLimit-Policy`, say what any limit costs that tells of itself. Our plugin, asked for 1,000 keys: without a limit and with uses not noted at all; without a limit; and each with a limit that is never reached, so that each answer carries `RateLimit` and `RateLimit-Policy`. The last contender has a Redis, and another replica beside it that is asked nothing: then the limit is one for both, and settled over Redis behind the requests. ' +
      `The second table is one verification alone, in a loop and a process of its own, drawn from 1,000 keys. Memory is the heap and what is outside it, of an engine that has verified each of ${number(many)} keys once, above idle. WAL is that of ${number(verifications)} verifications drawn from 1,000 keys with a limit, written at once (see "When keys were last used"). ` +
      `The last table is one key with a limit of ${number(limit.requests)} in ${limit.windowSeconds} s at two replicas, asked ${pace} times as often as that for ${4 * limit.windowSeconds} s. A bucket of that size lets a burst through first; windows are counted from when it is empty, and "bucket" is how much a bucket must hold for a limit in one place to have let through the same. Where Redis did not answer a settlement in 75 ms, each replica allowed the whole limit for a moment.`,
    tables: [comparisonTable(contenders, measurements, 'bare'), costTable(costs), weightTable(memory, writes), sharedTable(shared, limit)],
    goals: [
      { what: 'limit and usage on beside off, other tokens', atLeast: 0.97, reached: ratioOf(measurements, 'limited', 'off').median },
      { what: 'limit and usage on beside off, the same token over each connection', atLeast: 0.97, reached: ratioOf(measurements, 'limited-same', 'off-same').median },
      { what: 'our plugin with a limit beside bare Fastify', atLeast: 0.9, reached: ratioOf(measurements, 'limited', 'bare').median },
      { what: 'CPU that a limit adds to a request', atMost: 1, unit: ' us', reached: addedCpuUs(measurements, 'limited', 'plain') },
      { what: 'a verification with a limit beyond one without, in a loop', atMost: 300, unit: ' ns', reached: costs.limited - costs.plain },
      { what: 'the same, of a repeated token', atMost: 300, unit: ' ns', reached: costs.limitedSame - costs.plainSame },
      { what: 'memory that a key with a limit takes beyond one without', atMost: 300, unit: ' bytes', reached: memory.limited - memory.plain },
      { what: 'most let through in any window by two replicas, against 1.1 times the limit and a chunk', atMost: bound, reached: most('mostInWindow') },
      { what: 'let through of an even load, beside what the limit allows', atLeast: 0.99, reached: Math.min(...even) }
    ]
  }
}

interface Files {
  readonly plain: string
  readonly limited: string
}

function contendersOf (bench: Bench, databaseUrl: string, { plain, limited }: Files, apart: { readonly databaseUrl: string, readonly tokensFile: string }): Contender[] {
  const [samePlain, sameLimited] = [firstOf(bench, plain), firstOf(bench, limited)]
  const settings = { USAGE: 'off' }
  // All in one database are replicas of one another: only where they share a Redis do they share limits.
  return [
    bare({ name: 'bare', title: 'bare Fastify', tokensFile: plain }),
    bare({ name: 'fields', title: 'bare Fastify, with two header fields that are always the same', tokensFile: plain, hook: 'fields' }),
    plugin({ name: 'off', title: 'our plugin, no limit, uses not noted', databaseUrl, tokensFile: plain, settings }),
    plugin({ name: 'plain', title: 'our plugin, no limit', databaseUrl, tokensFile: plain }),
    plugin({ name: 'limited', title: '**our plugin, with a limit**', databaseUrl, tokensFile: limited }),
    plugin({ name: 'off-same', title: 'no limit, uses not noted, the same token', databaseUrl, tokensFile: samePlain, settings }),
    plugin({ name: 'limited-same', title: '**with a limit**, the same token', databaseUrl, tokensFile: sameLimited }),
    besideAnother(plugin({ name: 'shared', title: '**with a limit** that two replicas share', redisUrl: bench.redisUrl(5), ...apart }), { DATABASE_URL: apart.databaseUrl, REDIS_URL: bench.redisUrl(5) })
  ]
}

/** With one more replica on the other core, which is asked nothing. */
function besideAnother (contender: Contender, env: Readonly<Record<string, string>>): Contender {
  return {
    ...contender,
    async start (t) {
      await Program.startFile(t, 'plugin.ts', { name: `${contender.name}-other`, core: otherCore, env })
      return await contender.start(t)
    }
  }
}

/** Every connection sends the same: to each of them it is the token that it sent before. */
function firstOf (bench: Bench, tokensFile: string): string {
  const file = join(bench.dir, `one-of-${basename(tokensFile)}`)
  writeFileSync(file, `${readFileSync(tokensFile, 'utf8').split('\n', 1)[0]}\n`)
  return file
}

async function costsOf (bench: Bench, databaseUrl: string, { plain, limited }: Files): Promise<LimitCosts> {
  return await bench.scope(async (t) => {
    const program = await Program.startFile(t, 'limit-costs.ts', { name: 'limit-costs', env: { DATABASE_URL: databaseUrl, TOKENS_FILE: plain, LIMITED_FILE: limited } })
    const answer = await fetch(program.urlOf('/costs'))
    if (!answer.ok) throw new Error(await answer.text())
    return await answer.json() as LimitCosts
  })
}

async function bytesPerKey (bench: Bench, databaseUrl: string, tokensFile: string, count: number): Promise<number> {
  return await bench.scope(async (t) => {
    const program = await Program.startFile(t, 'memory.ts', {
      name: 'limits-memory',
      nodeOptions: ['--expose-gc'],
      env: { DATABASE_URL: databaseUrl, TOKENS_FILE: tokensFile, MEMORY_ENTRIES_MAX: String(count) }
    })
    const step = async <T> (path: string) => await (await fetch(program.urlOf(path))).json() as T
    const idle = await step<MemoryUse>('/idle')
    const filled = await step<Filled>(`/fill/${count}`)
    bench.tell(`${count} keys are in memory`)
    return (filled.heap + filled.outside - idle.heap - idle.outside) / filled.entries
  })
}

async function writesOf (bench: Bench, databaseUrl: string, tokensFile: string): Promise<UsageWrites> {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} })
  const file = await TokenFile.open(tokensFile)
  try {
    await useEveryKey(sql)
    return await usageWritesOf({ bench, databaseUrl, sql, file }, { drawn: bench.count(1000), perSecond: Infinity })
  } finally {
    await file.close()
    await sql.end({ timeout: 5 })
  }
}

function sharedLimitOf ({ options: { seconds } }: Bench): RateLimit {
  return { requests: 200 * seconds, windowSeconds: seconds }
}

/** What a replica of two takes from the shared bucket in advance, as `core/rate-limiter.ts` has it. */
function chunkOf ({ requests }: RateLimit): number {
  return Math.max(1, Math.floor(Math.ceil(requests / 2) / 10))
}

async function sharedOf (bench: Bench): Promise<ReadonlyMap<Load, LetThrough>> {
  const [databaseUrl, limit] = [await bench.database(), sharedLimitOf(bench)]
  const tokens = readFileSync(await seedKeys({ databaseUrl, dir: bench.dir, count: loads.length, workspaceId: 'shared', rateLimit: limit }), 'utf8').split('\n')
  return await bench.scope(async (t) => {
    const env = { DATABASE_URL: databaseUrl, REDIS_URL: bench.redisUrl(6) }
    const programs = [servingCore, otherCore].map(async (core) => await Program.startFile(t, 'plugin.ts', { name: `limits-${core}`, core, env }))
    const urls = (await Promise.all(programs)).map((program) => program.urlOf(''))
    const found = new Map<Load, LetThrough>()
    for (const [i, load] of loads.entries()) {
      found.set(load, await letThrough({ urls, token: tokens[i]!, limit, shares: load.shares, pace, seconds: 4 * limit.windowSeconds }))
      bench.tell(`a shared limit, ${load.title}`)
    }
    return found
  })
}

function costTable ({ plain, limited, plainSame, limitedSame }: LimitCosts): Table {
  return {
    columns: ['one verification', 'without a limit, ns', 'with a limit, ns', 'more'],
    rows: [
      ['of another token each time', ...[plain, limited, limited - plain].map(number)],
      ['of a token that the connection has just sent', ...[plainSame, limitedSame, limitedSame - plainSame].map(number)]
    ]
  }
}

function weightTable (memory: { readonly plain: number, readonly limited: number }, { statements, written, walBytes }: UsageWrites): Table {
  return {
    columns: ['', 'without a limit', 'with a limit'],
    rows: [
      ['memory of a key, bytes', number(memory.plain), number(memory.limited)],
      [`WAL of ${number(verifications)} verifications, kB`, '', number(walBytes / 1000)],
      ['in so many statements, of so many keys', '', `${number(statements)}, ${number(written)}`]
    ]
  }
}

function sharedTable (shared: ReadonlyMap<Load, LetThrough>, limit: RateLimit): Table {
  return {
    columns: ['load of two replicas', 'sent', 'let through', 'beside what the limit allows (= 1)', `most in a window (limit ${number(limit.requests)})`, 'fewest', 'bucket', 'settlements that failed'],
    rows: [...shared].map(([{ title }, { sent, passed, ofAllowed, mostInWindow, fewestInWindow, bucketNeeded, failures }]) => [
      title, ...[sent, passed, ofAllowed, mostInWindow, fewestInWindow, bucketNeeded, failures].map(number)
    ])
  }
}
