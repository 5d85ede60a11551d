import { execFileSync } from 'node:child_process'
import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { copyService } from './copy-service.ts'
import { Director } from './director.ts'
import { allFaults } from './faults/all-faults.ts'
import { figuresOf } from './figures.ts'
import { Fleet } from './fleet.ts'
import { postgresOutage, redisOutage } from './outages.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    'window-ms': { type: 'string', default: '10000' },
    rate: { type: 'string', default: '2600' },
    changes: { type: 'string', default: '8' },
    // Only faults in whose name this is, over and over, and no outages beforehand.
    only: { type: 'string' },
    // A `main.js` that is built already.
    main: { type: 'string' }
  }
})

const endings: Array<() => unknown> = []
let ending: Promise<void> | undefined

async function endAll (): Promise<void> {
  for (const end of endings.splice(0).reverse()) await end()
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    ending ??= endAll().finally(() => { process.exit(130) })
  })
}

async function torture (): Promise<boolean> {
  const [minutes, seed, windowMs, rate, changes] = [values.minutes, values.seed, values['window-ms'], values.rate, values.changes].map(Number) as [number, number, number, number, number]
  const t = { teardown: (end: () => unknown) => { endings.push(end) } }
  const start = performance.now()
  const leftMs = () => start + minutes * 60_000 - performance.now()
  const tell = (line: string) => { console.log(`[${((performance.now() - start) / 1000).toFixed(0).padStart(4)} s] ${line}`) }
  console.log(`seed ${seed}, window ${windowMs} ms, ${minutes} minutes; ${cpus().length} x ${cpus()[0]?.model.trim()}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}, commit ${commit()}`)

  const fleet = await Fleet.start(t, { main: values.main ?? copyService(t), seed, windowMs, verificationsPerSecond: rate, changesPerSecond: changes })
  const director = new Director(fleet, tell)
  tell('three replicas are up; nothing broken')
  if (values.only !== undefined) return await onlySome(fleet, director, values.only, leftMs)
  await sleep(Math.min(45_000, minutes * 6000))
  const redis = [await redisOutage(fleet, Math.min(60, minutes * 6))]
  tell('Redis was down and is back')
  const postgres = [await postgresOutage(fleet, 'killed'), await postgresOutage(fleet, 'frozen')]
  tell('Postgres was away and is back, twice')
  await director.everyFaultAlone(() => leftMs() > 0)
  while (leftMs() > 2 * windowMs) await director.randomPair()
  tell('settling')
  await fleet.settle()
  for (const line of figuresOf(fleet, director, { redis, postgres })) console.log(line)
  return fleet.isFlawless
}

async function onlySome (fleet: Fleet, director: Director, text: string, leftMs: () => number): Promise<boolean> {
  do {
    const faults = allFaults(fleet.random).filter(({ kind }) => kind.includes(text))
    if (faults.length === 0) throw new Error(`No fault has "${text}" in its name.`)
    for (const fault of faults) await director.play([fault])
  } while (leftMs() > 0)
  await fleet.settle()
  for (const line of figuresOf(fleet, director, { redis: [], postgres: [] })) console.log(line)
  return fleet.isFlawless
}

try {
  const flawless = await torture()
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
