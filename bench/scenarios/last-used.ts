import postgres from 'postgres'
import type { Bench } from '../bench.ts'
import { number, type Section, type Table } from '../support/section.ts'
import { seedKeys } from '../support/seed.ts'
import { TokenFile } from '../support/token-file.ts'
import { usageWritesOf, useEveryKey, verifications, type UsageCase, type UsageWrites } from '../support/usage-writes.ts'

const slow = 1000

export async function lastUsed (bench: Bench): Promise<Section> {
  const count = bench.count(100_000)
  const databaseUrl = await bench.database()
  const file = await TokenFile.open(await seedKeys({ databaseUrl, count, dir: bench.dir, keysPerWorkspace: 50 }))
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} })
  try {
    const scene = { bench, databaseUrl, sql, file }
    await useEveryKey(sql)

    const costs = new Map<UsageCase, UsageWrites>()
    for (const perSecond of [Infinity, slow]) {
      for (const drawn of [100, 1000, 10_000].map((keys) => bench.count(keys))) {
        const one = { drawn, perSecond }
        costs.set(one, await usageWritesOf(scene, one))
        bench.tell(`${verifications} verifications of ${drawn} keys, ${titleOf(perSecond)}`)
      }
    }
    return {
      title: 'When keys were last used',
      about: `${number(verifications)} verifications of one engine, of keys that are in memory and were used before, drawn at random: within one time of \`LAST_USED_FLUSH_MS\` (5 s), medians of ${bench.options.rounds} rounds; and ${number(slow)} a second, so that they go over two or three such times, once. WAL is what the server wrote in that time less what it writes in a time as long without a verification, while the engine renews its window. Updates are as \`pg_stat_user_tables\` counts them; HOT ones touch no index. The database has ${number(count)} keys.`,
      tables: [table(costs)],
      goals: []
    }
  } finally {
    await file.close()
    await sql.end({ timeout: 5 })
  }
}

function table (costs: ReadonlyMap<UsageCase, UsageWrites>): Table {
  return {
    columns: ['verifications', 'keys drawn from', 'statements', 'uses written', 'rows updated', 'of them HOT', 'WAL, kB', 'WAL per use written, bytes'],
    rows: [...costs].map(([{ drawn, perSecond }, { statements, written, updated, updatedInPlace, walBytes }]) => [
      titleOf(perSecond),
      drawn.toLocaleString('en-US'),
      ...[statements, written, updated, updatedInPlace].map((value) => value.toLocaleString('en-US')),
      number(walBytes / 1000),
      number(walBytes / written)
    ])
  }
}

function titleOf (perSecond: number): string {
  return perSecond === Infinity ? 'at once' : `${number(perSecond)} a second`
}
