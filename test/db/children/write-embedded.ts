import { connect } from '../../../src/db/connect.ts'
import { startEmbedded } from '../../../src/db/embedded/embedded.ts'

/*
 * Opens the data folder that it is told, and writes numbers into it until it is killed, each printed once the
 * database has confirmed it. `--idle` only opens it.
 */
const [dataDir, mode] = process.argv.slice(2) as [string, string?]
const embedded = await startEmbedded({ dataDir })
const { sql } = connect({ url: embedded.url, max: 4 })
await sql`create table if not exists numbers (n int primary key)`
process.stdout.write('open\n')
if (mode !== '--idle') {
  const [row] = await sql`select coalesce(max(n), 0)::int as last from numbers`
  let n = row?.['last'] as number
  await Promise.all([1, 2, 3, 4].map(async () => {
    for (;;) {
      const mine = ++n
      await sql.begin(async (tx) => { await tx`insert into numbers values (${mine})` })
      process.stdout.write(`wrote ${mine}\n`)
    }
  }))
}
setInterval(() => {}, 1000)
