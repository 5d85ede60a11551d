import type { Bench } from '../bench.ts'
import type { Filled, MemoryUse, Steady } from '../contenders/memory.ts'
import type { CostOf } from '../contenders/memory-costs.ts'
import type { Plot } from '../support/plot.ts'
import { Program } from '../support/program.ts'
import { number, type Section, type Table } from '../support/section.ts'
import { seedKeys } from '../support/seed.ts'

export async function memory (bench: Bench): Promise<Section> {
  const counts = [10_000, 100_000, 300_000, 1_000_000].map((count) => bench.count(count))
  const many = counts.at(-1)!
  const databaseUrl = await bench.database()
  const tokensFile = await seedKeys({ databaseUrl, count: many, dir: bench.dir, keysPerWorkspace: 50 })
  bench.tell(`${many} keys are in the database`)

  return await bench.scope(async (t) => {
    const program = await Program.startFile(t, 'memory.ts', {
      name: 'memory',
      nodeOptions: ['--expose-gc'],
      env: { DATABASE_URL: databaseUrl, TOKENS_FILE: tokensFile, MEMORY_ENTRIES_MAX: String(many) }
    })
    const step = async <T> (name: string, amount = 0) => {
      const answer = await fetch(program.urlOf(`/${name}/${amount}`))
      if (!answer.ok) throw new Error(`${name}: ${await answer.text()}`)
      bench.tell(`${name} ${amount} is done`)
      return await answer.json() as T
    }

    const before = await step<MemoryUse>('before')
    const idle = await step<MemoryUse>('idle')
    const filled: Filled[] = []
    for (const count of counts) filled.push(await step<Filled>('fill', count))
    const withMany = filled.at(-1)!
    const steady = await step<Steady>('steady', Math.min(10, 4 * bench.options.seconds))
    const costs = new Map<number, CostOf>()
    for (const drawn of [1000, 10_000, 100_000, 1_000_000].map((count) => bench.count(count))) costs.set(drawn, await step('cost', drawn))

    const longestFillMs = Math.max(...filled.map(({ pauses }) => pauses.longestMs))
    return {
      title: 'A million keys in memory',
      about: 'One engine, with room for 1,000,000 keys of workspaces of 50 each and no Redis, in a process of its own. Every key is verified once, 2,000 at a time, asked for in turns of 100, and Postgres answers; then hits at full speed, in slices of 5 ms between turns of the event loop, drawn from 100,000 keys, so that last-used writes its largest batch every 5 s. Resident memory is the whole process, after garbage collection and with nothing left to write of last uses; no token is kept by the program meanwhile. The empty pages that V8 holds ready for its next objects come on top and have a column of their own: on Node 24 a process keeps as many as its heap ever had and gives them back only when memory is short, on Node 26 after 8 s, and Node 20 kept none. A pause is the longest time between two turns of the event loop, but for the 5 ms of a slice; "on the core" leaves out what the thread waited for others on the same core, the garbage collector\'s own threads among them. Costs are time on the core of all threads, measured in turns of 5 ms beside the least that memory could cost: SHA-256 of the token and a lookup in a plain `Map` of as many digests, in the same random order.',
      tables: [
        memoryTable(before, idle, filled),
        pauseTable([...filled.map((part): [string, Filled] => [`on to ${number(part.entries)} keys`, part]), ['hits', steady]]),
        costTable(costs)
      ],
      goals: [
        { what: `resident memory above idle with ${number(many)} keys`, atMost: 350, unit: ' MB', reached: (withMany.resident - idle.resident) / 1e6 },
        { what: 'longest pause while memory fills', atMost: 50, unit: ' ms', reached: longestFillMs },
        { what: 'longest pause while memory answers', atMost: 50, unit: ' ms', reached: steady.pauses.longestMs },
        { what: `one of ${number(many)} keys beside SHA-256 and a \`Map\``, atMost: 1.5, unit: ' us', reached: beyondMapUs(costs.get(many)!) }
      ],
      plots: [memoryPlot(idle, filled), costPlot(costs)]
    }
  })
}

function beyondMapUs ({ verification, mapLookup }: CostOf): number {
  return (verification - mapLookup) / 1000
}

function memoryPlot (idle: MemoryUse, filled: readonly Filled[]): Plot {
  const use = [idle, ...filled]
  return {
    name: 'memory-by-keys',
    title: 'Memory by keys held',
    x: { title: 'keys in memory', scale: 'linear' },
    y: { title: 'MB (1,000,000 bytes)', scale: 'linear' },
    series: [
      { title: 'resident memory of the process', points: use.map(({ entries, resident }) => [entries, resident / 1e6]) },
      { title: 'JavaScript heap and what is outside it', points: use.map(({ entries, heap, outside }) => [entries, (heap + outside) / 1e6]) }
    ]
  }
}

function costPlot (costs: ReadonlyMap<number, CostOf>): Plot {
  const series = (title: string, figure: keyof CostOf) => ({ title, points: [...costs].map(([drawn, cost]) => [drawn, cost[figure]] as const) })
  return {
    name: 'verification-by-keys',
    title: 'One verification by keys it is drawn from',
    x: { title: 'keys drawn from, of a million in memory', scale: 'log' },
    y: { title: 'nanoseconds of processor time', scale: 'linear' },
    series: [series('verification', 'verification'), series('SHA-256 and a Map of as many digests', 'mapLookup'), series('SHA-256 alone', 'sha256')]
  }
}

function memoryTable (before: MemoryUse, idle: MemoryUse, filled: readonly MemoryUse[]): Table {
  const row = (title: string, use: MemoryUse) => {
    const inside = use.heap + use.outside - idle.heap - idle.outside
    const resident = use.resident - idle.resident
    return [
      title,
      ...[use.resident, resident, use.pooled, use.heap, use.heapPages, use.outside, inside].map((bytes) => number(bytes / 1e6)),
      ...[resident, inside].map((bytes) => use.entries === 0 ? '' : number(bytes / use.entries))
    ]
  }
  return {
    columns: ['keys in memory', 'resident, MB', 'above idle', 'empty pages held ready', 'heap, MB', 'its pages', 'outside the heap', 'heap and outside above idle', 'resident bytes per key', 'heap and outside per key'],
    rows: [
      row('before the engine is opened', before),
      row('idle', idle),
      ...filled.map((use) => row(number(use.entries), use))
    ]
  }
}

function pauseTable (parts: ReadonlyArray<readonly [string, Steady | Filled]>): Table {
  return {
    columns: ['while', 'verifications/s', 'longest pause, ms', 'longest on the core, ms', 'timer of 1 ms late by', 'longest minor collection', 'longest major'],
    rows: parts.map(([title, part]) => {
      const { longestMs, longestOnCoreMs, loopDelayMs, minorGcMs, majorGcMs } = part.pauses
      return [title, ...[part.perSecond, longestMs, longestOnCoreMs, loopDelayMs, minorGcMs, majorGcMs].map(number)]
    })
  }
}

function costTable (costs: ReadonlyMap<number, CostOf>): Table {
  return {
    columns: ['keys drawn from', 'verification, ns', 'SHA-256 and `Map`, ns', 'SHA-256 alone, ns', 'verification beyond `Map`, ns'],
    rows: [...costs].map(([drawn, { verification, mapLookup, sha256 }]) => [drawn, verification, mapLookup, sha256, verification - mapLookup].map(number))
  }
}
