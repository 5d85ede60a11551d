// The report in postgres-js.md as a program: node postgres-js.mjs postgres://user@host/database
// Needs the package postgres, and a database in which it may create a table. Prints what each statement got; ends with 0 where each got its own answer, else with 1.
import postgres from 'postgres'

const url = process.argv[2]
if (url === undefined) throw new Error('Usage: node postgres-js.mjs postgres://user@host/database')
const sql = postgres(url, { max: 1, onnotice () {} })
const other = postgres(url, { max: 1, onnotice () {} })
const table = `numbers_${process.pid}`
await other.unsafe(`create table public.${table} (id int primary key, n int); insert into public.${table} select n, n from generate_series(1, 100) n`).simple()

const statements = [`select n from public.${table} where id = $1`, `select n, 1 from public.${table} where id = $1`]
const ask = async (statement, id) => await Promise.race([
  sql.unsafe(statement, [id], { prepare: true }).then(([row]) => row === undefined ? 'no row' : String(row.n), String),
  new Promise((resolve) => { setTimeout(resolve, 2000, 'no answer') })
])
for (const statement of statements) await ask(statement, 1)
await other.unsafe(`alter table public.${table} alter column n type bigint`)
const answers = await Promise.all([ask(statements[0], 11), ask(statements[1], 12), ask(statements[0], 13)])

await other.unsafe(`drop table public.${table}`)
console.log('expected: 11, 12, 13')
console.log(`got:      ${answers.join(', ')}`)
process.exit(answers.join() === '11,12,13' ? 0 : 1)
