import { spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { connect } from '../../src/db/connect.ts'
import { freshDatabase } from '../support/servers.ts'
import { install, pack } from './install.ts'

// One process starts every application: loading its packages takes longer than all that an application does here.
const program = `
import { createInterface } from 'node:readline'
import { drizzle } from 'drizzle-orm/postgres-js'
import Fastify from 'fastify'
import apiKeys, { migrateKeys } from 'navis-keys'
import postgres from 'postgres'

for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(await start(...JSON.parse(line))))

async function start (way, databaseUrl) {
  const client = postgres(databaseUrl, { onnotice: () => {} })
  const ways = {
    refuse: { databaseUrl, migrate: false },
    'refuse with db': { db: drizzle(client), migrate: false },
    migrate: { databaseUrl },
    'migrate with db': { db: drizzle(client) },
    'use another driver': { db: { $client: { query () {} } } }
  }
  try {
    if (way === 'migrate first') {
      await migrateKeys(databaseUrl)
      return ''
    }
    const app = Fastify()
    await app.register(apiKeys, ways[way])
    const { token } = await app.apiKeys.service.create({ workspaceId: 'w1', actor: 'a', name: 'n', scope: 'mcp:read' })
    const { valid } = await app.apiKeys.verifier.verify(token)
    await app.close()
    return String(valid)
  } catch (error) {
    return error.name + ': ' + error.message
  } finally {
    await client.end()
  }
}
`

const { folder } = await install(t, (await pack())['navis-keys'].tarball, ['fastify', 'drizzle-orm', 'postgres'])
await writeFile(join(folder, 'esm/program.js'), program)
await addMigration(join(folder, 'node_modules/navis-keys/drizzle'))
const child = spawn(process.execPath, [join(folder, 'esm/program.js')], { stdio: ['pipe', 'pipe', 'inherit'] })
t.teardown(() => { child.kill() })
const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()

/** Makes the installed package a later version, which has a migration more. */
async function addMigration (migrations: string): Promise<void> {
  const file = join(migrations, 'meta/_journal.json')
  const journal = JSON.parse(await readFile(file, 'utf8')) as { entries: Array<{ idx: number, when: number, tag: string }> }
  const last = journal.entries.at(-1)!
  journal.entries.push({ ...last, idx: last.idx + 1, when: last.when + 1, tag: 'later' })
  await writeFile(file, JSON.stringify(journal))
  await writeFile(join(migrations, 'later.sql'), 'alter table "navis_keys"."keys" add column "later" integer;')
}

/** What an application that starts in this way says: whether a key that it made is valid, or what it was refused with. */
async function started (way: string, url: string): Promise<string> {
  child.stdin.write(`${JSON.stringify([way, url])}\n`)
  const { value } = await answers.next() as { value?: string }
  if (value === undefined) throw new Error('The program has ended.')
  return JSON.parse(value) as string
}

async function laterColumns (url: string): Promise<number> {
  const { sql, close } = connect({ url, max: 1 })
  try {
    const [row] = await sql<[{ n: number }]>`select count(*)::int as n from information_schema.columns where table_schema = 'navis_keys' and column_name = 'later'`
    return row.n
  } finally {
    await close()
  }
}

for (const whose of ['', ' with db']) {
  t.test(`with \`migrate: false\`${whose} a later version says what a database of today has not, and changes nothing; without, it brings it there`, async (t) => {
    const url = await freshDatabase(t)
    const sentence = /^UnfitDatabase: The database is not at the newest schema: "navis_keys" has 1 of 2 migrations, .*`migrate: false`.*Run `navis-keys migrate`/
    t.match(await started(`refuse${whose}`, url), sentence)
    t.equal(await laterColumns(url), 0)
    t.equal(await started(`migrate${whose}`, url), 'true')
    t.equal(await laterColumns(url), 1)
    t.equal(await started(`refuse${whose}`, url), 'true', 'at the newest schema nothing is refused')
    const empty = await freshDatabase(t, { migrated: false })
    t.match(await started(`refuse${whose}`, empty), /"navis_keys" has 0 of 2 migrations/)
    t.equal(await started(`migrate${whose}`, empty), 'true')
  })
}

t.test('a step of a deployment migrates under a role of its own; the application\'s role is told what it lacks', async (t) => {
  const url = await freshDatabase(t, { migrated: false })
  const { sql, close } = connect({ url, max: 1 })
  t.teardown(close)
  const role = `app_${Math.random().toString(36).slice(2)}`
  await sql.unsafe(`create role ${role} login`)
  t.teardown(async () => { await sql.unsafe(`drop owned by ${role}; drop role ${role}`).simple() })
  const asRole = url.replace('postgres@', `${role}@`)
  t.match(await started('migrate', asRole), /^UnfitDatabase: The role may not create or use what is needed in the schema "navis_keys"/)
  t.equal(await started('migrate first', url), '')
  t.equal(await laterColumns(url), 1)
  t.match(await started('refuse', asRole), /^UnfitDatabase: The role may not/)
  await sql.unsafe(`grant usage on schema navis_keys to ${role}; grant select, insert, update, delete on all tables in schema navis_keys to ${role}`).simple()
  t.equal(await started('refuse', asRole), 'true')
  t.equal(await started('migrate', asRole), 'true', 'nothing is left to migrate, so no right to is needed')
})

t.test('a Drizzle database on another driver is refused with what to do', async (t) => {
  t.match(await started('use another driver', await freshDatabase(t)), /^TypeError: `db` is not a Drizzle database on postgres\.js\. Give `databaseUrl` instead/)
})
