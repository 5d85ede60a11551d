import { connect } from '../../../src/db/connect.ts'
import { startEmbedded } from '../../../src/db/embedded/embedded.ts'

/*
 * Opens the data folder that it is told, and writes numbers into it until it is killed, each printed once the
 * database has confirmed it. `--idle` only opens it, `--nobody` does so without root's rights.
 */
const [dataDir, mode] = process.argv.slice(2) as [string, string?]
if (mode === '--nobody') {
  process.setgroups?.([])
  process.setgid?.(65534)
  process.setuid?.(65534)
}
const embedded = await startEmbedded({ dataDir })
const { sql } = connect({ url: embedded.url, max: 4 })
await sql`create table if not exists public.numbers (n int primary key)`
const [server] = await sql`select pg_read_file('postmaster.pid') as note`
process.stdout.write(`open, postmaster ${String(server?.['note']).split('\n')[0]}\n`)
if (mode === undefined) {
  const [row] = await sql`select coalesce(max(n), 0)::int as last from public.numbers`
  let n = row?.['last'] as number
  await Promise.all([1, 2, 3, 4].map(async () => {
    for (;;) {
      const mine = ++n
      await sql`insert into public.numbers values (${mine})`
      process.stdout.write(`wrote ${mine}\n`)
    }
  }))
}
setInterval(() => {}, 1000)
