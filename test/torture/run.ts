import { execFileSync } from 'node:child_process'
import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { FindingKind } from './checker.ts'
import { copyService } from './copy-service.ts'
import { Director } from './director.ts'
import { allFaults } from './faults/all-faults.ts'
import type { Fault } from './faults/fault.ts'
import { figuresOf } from './figures.ts'
import { Fleet, type Stores } from './fleet.ts'
import { postgresOutage, redisOutage } from './outages.ts'

/*
 * npm run torture                                        10,000,000 verifications: a third each on plain stores, behind PgBouncer, and with Sentinels; and every fault on each
 * npm run torture -- --verifications 1000000             so many, and every fault on each all the same
 * npm run torture -- --minutes 10                        so long in all, and only the faults for which there is time
 * npm run torture -- --stores pooler --minutes 5         one kind of stores
 * npm run torture -- --only promoted --minutes 2         only faults in whose name this is, over and over, and no outages beforehand
 * npm run torture -- --only "promoted|restored"          only faults in whose name one of these is, in an order drawn anew each time
 * npm run torture -- --only "promoted + cut from Redis"  a fault of each name, all at once
 */
const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    verifications: { type: 'string', default: '10000000' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    stores: { type: 'string', default: 'plain,pooler,sentinel' },
    'window-ms': { type: 'string', default: '10000' },
    rate: { type: 'string', default: '5000' },
    changes: { type: 'string', default: '8' },
    only: { type: 'string' },
    // A `main.js` that is built already.
    main: { type: 'string' }
  }
})

const teardowns: Array<() => unknown> = []
let ending: Promise<void> | undefined

async function endAll (): Promise<void> {
  for (const end of teardowns.splice(0).reverse()) await end()
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    ending ??= endAll().finally(() => { process.exit(130) })
  })
}

/** Whether the promise was kept on every kind of stores. */
async function torture (): Promise<boolean> {
  const kinds = values.stores.split(',') as Stores[]
  const stray = kinds.find((kind) => !['plain', 'pooler', 'sentinel'].includes(kind))
  if (stray !== undefined) throw new Error(`There are no stores "${stray}": plain, pooler, sentinel.`)
  let isFlawless = true
  for (const [i, stores] of kinds.entries()) {
    // Whatever a kind has less than its share, the ones after it may have.
    if (!await tortureOn(stores, kinds.length - i)) isFlawless = false
    await endAll()
  }
  return isFlawless
}

const start = performance.now()
let verifications = 0
const found: Record<FindingKind, number> = { 'stale accept': 0, 'false refusal': 0, 'unexcused 503': 0, 'unexpected answer': 0 }

async function tortureOn (stores: Stores, turnsLeft: number): Promise<boolean> {
  const [seed, windowMs, rate, changes] = [values.seed, values['window-ms'], values.rate, values.changes].map(Number) as [number, number, number, number]
  const t = { teardown: (end: () => unknown) => { teardowns.push(end) } }
  const begun = performance.now()
  const shareMs = values.minutes === undefined ? Infinity : (Number(values.minutes) * 60_000 - (begun - start)) / turnsLeft
  const share = values.minutes === undefined ? (Number(values.verifications) - verifications) / turnsLeft : Infinity
  const tell = (line: string) => { console.log(`[${((performance.now() - start) / 1000).toFixed(0).padStart(4)} s] ${line}`) }
  console.log(`stores ${stores}, seed ${seed}, window ${windowMs} ms; ${cpus().length} x ${cpus()[0]?.model.trim()}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}, commit ${commit()}`)

  const fleet = await Fleet.start(t, { main: values.main ?? copyService(t), seed, windowMs, verificationsPerSecond: rate, changesPerSecond: changes, stores })
  const goesOn = () => performance.now() - begun < shareMs && fleet.recorder.size < share
  const director = new Director(fleet, tell)
  tell('three replicas are up; nothing broken')
  if (values.only !== undefined) return await onlySome(fleet, director, values.only, goesOn)
  await sleep(Math.min(45_000, shareMs / 10))
  // With Sentinels a Redis that is away is a failover, which is a fault of its own.
  const redis = stores === 'sentinel' ? [] : [await redisOutage(fleet, Math.min(60, shareMs / 10_000))]
  const postgres = [await postgresOutage(fleet, 'killed'), await postgresOutage(fleet, 'frozen')]
  tell('the outages have been')
  let isFirst = true
  do {
    const isWhole = isFirst && values.minutes === undefined
    await director.everyFaultAlone(() => isWhole || goesOn())
    for (let i = 0; i < 10 && goesOn(); i++) await director.randomPair()
    isFirst = false
  } while (goesOn())
  tell('settling')
  await fleet.settle()
  verifications += fleet.recorder.size
  for (const kind of Object.keys(found) as FindingKind[]) found[kind] += fleet.checker.counts[kind]
  for (const line of figuresOf(fleet, director, { redis, postgres })) console.log(line)
  return fleet.isFlawless
}

async function onlySome (fleet: Fleet, director: Director, text: string, goesOn: () => boolean): Promise<boolean> {
  const named = (text: string): Fault[] => {
    const texts = text.split('|')
    const faults = fleet.random.shuffled(allFaults(fleet.random, fleet.stores).filter(({ kind }) => texts.some((text) => kind.includes(text))))
    if (faults.length === 0) throw new Error(`No fault has "${text}" in its name.`)
    return faults
  }
  const together = text.split(' + ')
  do {
    const scenes = together.length > 1 ? [together.map((text) => named(text)[0]!)] : named(text).map((fault) => [fault])
    for (const faults of scenes) {
      if (goesOn() || director.scenes.length === 0) await director.play(faults)
    }
  } while (goesOn())
  await fleet.settle()
  for (const line of figuresOf(fleet, director, { redis: [], postgres: [] })) console.log(line)
  return fleet.isFlawless
}

try {
  const flawless = await torture()
  const seconds = (performance.now() - start) / 1000
  if (values.only === undefined) console.log(`${verifications} verifications in ${seconds.toFixed(0)} s (${(verifications / seconds).toFixed(0)}/s): ${Object.entries(found).map(([kind, count]) => `${count} x ${kind}`).join(', ')}`)
  process.exitCode = flawless ? 0 : 1
} catch (error) {
  console.error(error)
  process.exitCode = 1
}
ending ??= endAll()
await ending
process.exit()

function commit (): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return 'unknown'
  }
}
