import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench } from '../bench.ts'
import { bare, forwardAuthShape, plugin, service, verifyShape } from '../contenders.ts'
import { Program } from '../support/program.ts'
import type { MemoCosts } from '../contenders/memo-costs.ts'
import { addedCpuUs, ratioOf } from '../support/compare.ts'
import type { SplitMeasurement } from '../support/contender.ts'
import { interleave } from '../support/interleave.ts'
import { number, type Section, type Table } from '../support/section.ts'
import { medianOf } from '../support/statistics.ts'
import { seedKeys } from '../support/seed.ts'

export async function yardstick (bench: Bench): Promise<Section> {
  const databaseUrl = await bench.database()
  const tokensFile = await seedKeys({ databaseUrl, count: bench.count(1000), dir: bench.dir })
  // Every connection sends the same: to each of them it is the token that it sent before.
  const oneToken = join(bench.dir, 'one-token')
  writeFileSync(oneToken, `${readFileSync(tokensFile, 'utf8').split('\n', 1)[0]}\n`)
  const redisUrl = bench.redisUrl(1)
  const keys = { databaseUrl, tokensFile }
  const contenders = [
    bare({ name: 'bare', title: 'bare Fastify', tokensFile }),
    bare({ name: 'idled', title: 'bare Fastify that has idled before, with nothing done about it', tokensFile, hasIdled: true }),
    bare({ name: 'spin-3', title: 'a hook that spins for 3 us', tokensFile, spinUs: 3 }),
    bare({ name: 'spin-6', title: 'a hook that spins for 6 us', tokensFile, spinUs: 6 }),
    bare({ name: 'header', title: 'a hook that reads the header', tokensFile, hook: 'header' }),
    bare({ name: 'post', title: 'bare Fastify, a `POST` with the body that `/v1/verify` gets', tokensFile, shape: { ...verifyShape, path: '/' } }),
    plugin({ name: 'plugin-same', title: '**our plugin**, the same token over each connection', databaseUrl, redisUrl, tokensFile: oneToken }),
    plugin({ name: 'plugin', title: '**our plugin**, another of 1,000 tokens each time', ...keys, redisUrl }),
    service({ name: 'forward-auth-same', title: '**our `/forward-auth`**, the same token', databaseUrl, redisUrl, tokensFile: oneToken, shape: forwardAuthShape }),
    service({ name: 'forward-auth', title: '**our `/forward-auth`**, another of 1,000 tokens', ...keys, redisUrl, shape: forwardAuthShape }),
    service({ name: 'verify', title: '**our `POST /v1/verify`**', ...keys, redisUrl, shape: verifyShape })
  ]
  const measurements = await interleave(bench, contenders, { awake: true })
  const costs = await costsOf(bench, keys)
  const medians = (name: string, of: (one: SplitMeasurement) => number) => medianOf(measurements.get(name)!.map(of))
  return {
    title: 'The scale of this machine',
    about: '64 connections that send as fast as they are answered. A hook that only spins says what the machine makes of some microseconds of work: what it costs beyond them is paid to caches that others have used, and to a load that had to be woken up, if it slept. All but one of these processes keep what they would forget when they idle ([0346](../docs/decisions/0346-one-object-of-each-kind-stays-alive.md)). "In the kernel" is the share of the processor time. ' +
      'The second table is one verification alone, in a process of its own and without HTTP, beside SHA-256 and a lookup in a `Map`: in a tight loop; and cold, that is after a walk through 2 MiB and through 8 MiB of other memory, which empties the caches of the core, and most of those that cores share.',
    tables: [
      {
        columns: ['contender', 'requests/s', 'beside bare (= 1)', 'server CPU, us/request', 'in the kernel', 'more than bare', 'load slept, times a request'],
        rows: contenders.map(({ name, title }) => [
          title,
          number(medians(name, (one) => one.perSecond)),
          number(ratioOf(measurements, name, 'bare').median),
          number(medians(name, (one) => one.cpuUs)),
          number(medians(name, (one) => one.systemShare)),
          number(addedCpuUs(measurements, name, 'bare')),
          number(medians(name, (one) => one.sleeps))
        ])
      },
      costTable(costs)
    ],
    goals: [
      { what: 'a repeated token beside another one, hot', atMost: 1 / 3, reached: costs.same.hotNs / costs.plain.hotNs },
      { what: 'a repeated token beside another one, after 2 MiB', atMost: 1 / 3, reached: costs.same.coldNs / costs.plain.coldNs },
      { what: 'a repeated token beside another one, after 8 MiB', atMost: 1 / 3, reached: costs.same.coldestNs / costs.plain.coldestNs }
    ]
  }
}

async function costsOf (bench: Bench, { databaseUrl, tokensFile }: { databaseUrl: string, tokensFile: string }): Promise<MemoCosts> {
  return await bench.scope(async (t) => {
    const program = await Program.startFile(t, 'memo-costs.ts', { name: 'memo-costs', env: { DATABASE_URL: databaseUrl, TOKENS_FILE: tokensFile } })
    return await (await fetch(program.urlOf('/costs'))).json() as MemoCosts
  })
}

function costTable ({ plain, same, map }: MemoCosts): Table {
  const row = (title: string, { hotNs, coldNs, coldestNs }: MemoCosts['plain']) => [title, number(hotNs), number(coldNs), number(coldestNs)]
  return {
    columns: ['one verification', 'in a loop, ns', 'after 2 MiB of other memory, ns', 'after 8 MiB, ns'],
    rows: [
      row('of a token that the connection has just sent', same),
      row('of another token, in memory', plain),
      row('SHA-256 and a lookup in a `Map` of 1,000', map)
    ]
  }
}
