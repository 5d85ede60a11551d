import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { drizzle } from 'drizzle-orm/postgres-js'
import { migrate } from 'drizzle-orm/postgres-js/migrator'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { migrateKeys } from '../../src/plugins/api-keys.ts'
import { install, pack, root, run } from '../package/install.ts'
import { blocksOf, Sandbox, whyNoSandbox } from '../support/sandbox.ts'
import { freshDatabase, startPostgres, until } from '../support/servers.ts'
import { freePort, ServerProcess } from '../support/server-process.ts'

const source = join(root, 'examples/fastify-drizzle')
const { folder, home } = await compiled(t)

/** The example on the packed package, compiled as its author's editor would. Drizzle's own types name drivers that are not there, so libraries are not checked. */
async function compiled (t: Test): Promise<{ folder: string, home: string }> {
  const { folder } = await install(t, (await pack())['navis-keys'].tarball, ['fastify', 'drizzle-orm', 'postgres', '@types/node'])
  const home = join(folder, 'esm')
  await cp(source, home, { recursive: true })
  await writeFile(join(home, 'tsconfig.json'), JSON.stringify({
    compilerOptions: {
      module: 'nodenext', target: 'es2023', lib: ['es2023'], types: ['node'], strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: true, rewriteRelativeImportExtensions: true
    },
    files: ['app.ts']
  }))
  const said = await run(process.execPath, [join(root, 'node_modules/typescript-native/bin/tsc'), '-p', home]).then(() => '', (error: { stdout: string }) => error.stdout)
  t.equal(said, '', 'nothing is red in the editor')
  return { folder, home }
}

async function startApp (t: Test, databaseUrl: string, file: string): Promise<string> {
  const port = await freePort()
  const server = new ServerProcess({ name: 'host' })
  t.teardown(async () => { await server.remove() })
  await writeFile(join(server.dir, 'env'), `DATABASE_URL="${databaseUrl}"\nPORT="${port}"\n`)
  const url = `http://127.0.0.1:${port}`
  await server.start({ command: process.execPath, args: [`--env-file=${join(server.dir, 'env')}`, file], ready: async () => (await fetch(`${url}/doors`).catch(() => undefined))?.status === 401 })
  return url
}

function asked (t: Test, databaseUrl: string) {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} })
  t.teardown(async () => { await sql.end() })
  return sql
}

/** The folder of a host whose migrations have these dates, and that has only the first `count` of them. */
async function hostWith ({ dates, count = dates.length }: { dates: readonly number[], count?: number }): Promise<string> {
  const copy = `host-${Math.random().toString(36).slice(2)}`
  await cp(home, join(folder, copy), { recursive: true })
  const file = join(folder, copy, 'drizzle/meta/_journal.json')
  const journal = JSON.parse(await readFile(file, 'utf8')) as { entries: Array<{ when: number }> }
  await writeFile(file, JSON.stringify({ ...journal, entries: journal.entries.slice(0, count).map((entry, index) => ({ ...entry, when: dates[index] })) }))
  return join(folder, copy)
}

const old = [1, 2]
const future = [4_000_000_000_000, 4_100_000_000_000]

for (const { when, dates, first } of [
  { when: 'the host migrates first, and its migrations are older than ours', dates: old, first: 'host' },
  { when: 'the host migrates first, and its migrations are newer than ours', dates: future, first: 'host' },
  { when: 'we migrate first, and the host\'s migrations are older than ours', dates: old, first: 'ours' },
  { when: 'we migrate first, and the host\'s migrations are newer than ours', dates: future, first: 'ours' }
]) {
  t.test(`${when}: both have everything, and neither touches the other`, async (t) => {
    const url = await freshDatabase(t, { migrated: false })
    const sql = asked(t, url)
    if (first === 'ours') await migrateKeys(url)
    // Its first version starts: the two calls with which it does, for a process of it costs more than all that is asked of it here.
    await migrate(drizzle(sql), { migrationsFolder: join(await hostWith({ dates, count: 1 }), 'drizzle') })
    await migrateKeys(url)
    t.same(await sql`select table_name as name from information_schema.tables where table_schema = 'public' order by 1`, [{ name: 'audit' }, { name: 'keys' }, { name: 'sessions' }])
    const ours = await sql`select count(*)::int as tables from information_schema.tables where table_schema = 'navis_keys'`
    t.ok(ours[0]!['tables'] > 5)
    // Its next version brings a migration, with our schema there already.
    const app = await startApp(t, url, join(await hostWith({ dates }), 'app.js'))
    t.same(await sql`select count(*)::int as n from drizzle.__drizzle_migrations`, [{ n: 2 }])
    t.same(await sql`select count(*)::int as n from navis_keys.migrations`, [{ n: 1 }])
    await sql`insert into sessions values ('s1', 'ada', 'acme')`
    await sql`insert into keys (workspace_id, door, holder) values ('acme', 'front', 'ada'), ('other', 'back', 'eve')`

    const made = await fetch(`${app}/api-keys`, { method: 'POST', headers: { cookie: 'session=s1', 'content-type': 'application/json' }, body: '{"name":"CI"}' })
    const { id, token } = await made.json() as { id: string, token: string }
    const doors = async () => await fetch(`${app}/doors`, { headers: { authorization: `Bearer ${token}` } })
    t.same(await (await doors()).json(), [{ door: 'front', holder: 'ada' }])
    t.equal((await fetch(`${app}/api-keys/${id}`, { method: 'DELETE' })).status, 401, 'who is not signed in ends nothing')
    t.equal((await fetch(`${app}/api-keys/${id}`, { method: 'DELETE', headers: { cookie: 'session=s1' } })).status, 204)
    const refused = await doors()
    t.equal(refused.status, 401)
    t.match(await refused.json(), { code: 'revoked' })
    t.same(await sql`select what from audit`, [{ what: 'listed by CI' }])
    t.same(await sql`select count(*)::int as n from keys`, [{ n: 2 }], 'the host\'s keys are the host\'s')
  })
}

t.test('every command of its page runs as it stands', { skip: whyNoSandbox }, async (t) => {
  const server = await startPostgres(t)
  const sandbox = await Sandbox.start(t, { cwd: home, links: { 5432: join(server.dir, `.s.PGSQL.${server.port}`) } })
  const [start, use] = blocksOf(join(source, 'README.md')).filter(({ language }) => language === 'sh').map(({ text }) => text)
  // The packages were copied from those of the project, without a registry; Node 20 does not run TypeScript yet.
  const [installed, ...commands] = start!.trimEnd().split('\n')
  t.match(installed, /^npm install fastify drizzle-orm postgres navis-keys$/)
  const out = sandbox.begin(commands.join('\n').replace('node app.ts', 'node app.js'))
  await until(async () => (await sandbox.run('curl -s -o /dev/null http://127.0.0.1:3000/doors')).status === 0, { timeoutMs: 60_000 }).catch(async () => { t.fail(await readFile(`${out}.err`, 'utf8') + await readFile(`${out}.out`, 'utf8')) })
  const { stdout, stderr } = await sandbox.run(`export DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres\n${use}`)
  t.match(stdout, /\[\{"door":"front","holder":"ada"\}\]\n200\n[^]*"code":"revoked"[^]*\n401\n$/, stderr)
})
