import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { measureCosts, type Costs } from './scale/costs.ts'
import { Fleet, type Region } from './scale/fleet.ts'
import { machineLine } from './support/machine.ts'
import { percentileOf } from './support/percentile.ts'
import { number, printTable } from './support/section.ts'

/*
 * npm run scale                   measures what statements and messages cost here, and prints what fleets of that would do
 * npm run scale -- --save         and puts it into docs/scale.md
 * npm run scale -- --sizes 16     of these sizes alone
 */
const { values } = parseArgs({
  options: { sizes: { type: 'string', default: '16,128,1000,10000' }, changes: { type: 'string', default: '16' }, save: { type: 'boolean', default: false } }
})
const sizes = values.sizes.split(',').map(Number)
/** The largest also with longer windows: then its renewals are rarer. */
const fleets = sizes.flatMap((replicas) => (replicas < 5000 ? [10_000] : [10_000, 60_000]).map((windowMs) => ({ replicas, windowMs })))

const near: Region = { name: 'one region', roundTripMs: 0.3 }
const places: ReadonlyArray<{ readonly title: string, readonly regions: readonly Region[], readonly askedIn: number }> = [
  { title: 'one region', regions: [near], askedIn: 0 },
  { title: 'three regions, asked beside Postgres', regions: [near, { name: '80 ms', roundTripMs: 80 }, { name: '150 ms', roundTripMs: 150 }], askedIn: 0 },
  { title: 'three regions, asked 150 ms away', regions: [near, { name: '80 ms', roundTripMs: 80 }, { name: '150 ms', roundTripMs: 150 }], askedIn: 2 }
]

const endings: Array<() => unknown> = []
const costs = await measureCosts({ teardown: (end) => { endings.push(end) } })
for (const end of endings.reverse()) await end()

const idle: string[][] = []
const revoking: string[][] = []
for (const { replicas, windowMs } of fleets) {
  const size = `${replicas.toLocaleString('en-US')}${windowMs === 10_000 ? '' : `, TRUST_WINDOW_MS=${windowMs}`}`
  // In very large fleets each change is tens of thousands of messages, and each is like the other.
  const isLarge = replicas >= 5000
  const changes = isLarge ? 2 : Number(values.changes)
  for (const { title, regions, askedIn } of isLarge ? places.slice(0, 2) : places) {
    const fleet = new Fleet({ replicas, windowMs, regions, askedIn, costs })
    const isBorne = await fleet.start()
    const atRest = await fleet.rest(windowMs / 1000)
    if (regions.length === 1) {
      const perSecond = (count: number) => number(count / atRest.seconds)
      idle.push([size, perSecond(atRest.renewals), perSecond(atRest.rolls), perSecond(atRest.statements), percent(atRest.postgresMs / atRest.seconds / 1000 / costs.postgresCores), String(atRest.renewalsLate)])
    }
    console.error(`${size} in ${title}`)
    if (!isBorne) {
      revoking.push([size, title, 'not all windows are open: Postgres cannot do what the fleet asks by itself', '', '', '', '', '', ''])
      continue
    }
    // The first tell how long the ways are.
    await fleet.revoke(isLarge ? 1 : 3, 1)
    const one = await fleet.revoke(changes, 1)
    const many = await fleet.revoke(isLarge ? 4 : changes * 2, isLarge ? 4 : 16)
    const perChange = (figure: (work: typeof many) => number) => figure(many) / many.ms.length
    const limits: Array<[string, number]> = [
      ['the replica that is asked', perChange(({ askedMs }) => askedMs)],
      ['Redis', perChange(({ redisMs }) => redisMs)],
      ['Postgres', perChange(({ postgresMs, seconds }) => Math.max(0, postgresMs - atRest.postgresMs / atRest.seconds * seconds)) / costs.postgresCores]
    ]
    limits.sort(([, one], [, other]) => other - one)
    const [limit, ms] = limits[0]!
    revoking.push([
      size, title,
      number(percentileOf(one.ms, 0.5)), number(percentileOf(one.ms, 0.99)),
      number(one.forChanges / one.ms.length),
      number(many.ms.length / many.seconds), limit, number(ms),
      String(one.slow + many.slow)
    ])
  }
}

const text = [
  printTable({ columns: ['cost', 'measured here'], rows: costRows(costs) }),
  printTable({ columns: ['replicas, idle, one region', 'renewals/s', 'readings of the list of members/s', 'statements/s', `of ${costs.postgresCores} cores of Postgres`, 'renewals later than a second'], rows: idle }),
  printTable({ columns: ['replicas', 'where', 'one after another: p50, ms', 'p99', 'statements for each', '16 at a time (4 of 10,000), per second', 'works longest for one', 'ms', 'waited W out'], rows: revoking }),
  machineLine()
].join('\n\n')
console.log(text)
if (values.save) {
  const file = new URL('../docs/scale.md', import.meta.url)
  const before = readFileSync(file, 'utf8')
  const [from, to] = ['<!-- figures -->', '<!-- /figures -->']
  writeFileSync(file, `${before.slice(0, before.indexOf(from) + from.length)}\n${text}\n${before.slice(before.indexOf(to))}`)
}
process.exit()

function costRows (costs: Costs): string[][] {
  const us = (ms: number) => `${number(ms * 1000)} us`
  return [
    ['a renewal, Postgres', us(costs.renewalMs)],
    ['a change, Postgres', us(costs.changeMs)],
    ['a reading of the list of members, Postgres', `${us(costs.rollMs)}, and ${us(costs.rollMemberMs)} a member`],
    ['a commit, until it is on the disk', us(costs.commitMs)],
    ['a message, Redis', `${us(costs.publishMs)}, and ${us(costs.deliverMs)} for each that hears it`],
    ['a statement, the replica', `${us(costs.statementLoopMs)}, and ${us(costs.rollMemberLoopMs)} a member`],
    ['a change, the replica that is asked', us(costs.changeLoopMs)],
    ['an announcement: telling it, hearing it', `${us(costs.announceLoopMs)}, ${us(costs.hearLoopMs)}`],
    ['an acknowledgement: sending it, hearing it', `${us(costs.acknowledgeLoopMs)}, ${us(costs.hearAcknowledgementLoopMs)}`]
  ]
}

function percent (share: number): string {
  return `${number(share * 100)} %`
}
