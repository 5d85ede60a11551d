import { execFile } from 'node:child_process'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { connect } from '../../src/db/connect.ts'
import { freshDatabase } from '../support/servers.ts'

const noAnswerMs = 20_000

/** Two statements of one connection are under way while the type of a column that they select changes. */
async function askAcrossTypeChange (t: Test, { url, sql }: { url: string, sql: postgres.Sql }): Promise<string[]> {
  const other = postgres(url, { max: 1, onnotice: () => {} })
  t.teardown(() => other.end({ timeout: 1 }))
  const ask = async (statement: string, id: number) => await Promise.race([
    sql.unsafe(statement, [id], { prepare: true }).then((rows) => String(rows[0]?.['n']), (error: Error) => error.name),
    setTimeout(noAnswerMs, 'no answer', { ref: false })
  ])
  const statements = ['select n from public.numbers where id = $1', 'select n, 1 from public.numbers where id = $1'] as const
  await other`create table numbers (id int primary key, n int)`
  await other`insert into numbers select n, n from generate_series(1, 100) n`
  for (const statement of statements) await ask(statement, 1)
  await other`alter table numbers alter column n type bigint`
  return await Promise.all([ask(statements[0], 11), ask(statements[1], 12), ask(statements[0], 13)])
}

t.test('the driver alone mixes prepared statements up when a type changes: once it does not, docs/upstream/postgres-js.md is done with', async (t) => {
  const program = fileURLToPath(new URL('../../docs/upstream/postgres-js.mjs', import.meta.url))
  const { code, stdout } = await promisify(execFile)(process.execPath, [program, await freshDatabase(t, { migrated: false })]).then(({ stdout }) => ({ code: 0, stdout }), (error: { code: number, stdout: string }) => error)
  t.match(stdout, /^expected: 11, 12, 13\ngot: /)
  t.equal(code, 1, `still mixed up; if this fails, the driver is mended and statements may be prepared again: ${stdout}`)
})

t.test('on our connections no statement is prepared, whoever asks for it, and each gets its own answer', async (t) => {
  const url = await freshDatabase(t, { migrated: false })
  const { sql, close } = connect({ url, max: 1 })
  t.teardown(close)
  t.same(await askAcrossTypeChange(t, { url, sql }), ['11', '12', '13'])
  t.same(await sql`select name from pg_prepared_statements where statement like '%numbers%'`, [])
})
