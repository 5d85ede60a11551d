import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { t as tap } from 'tap'
import { connect } from '../../../src/db/connect.ts'
import { DataFolderInUse } from '../../../src/db/embedded/data-folder.ts'
import { runningEmbeddedUrl, startEmbedded, type EmbeddedPostgres } from '../../../src/db/embedded/embedded.ts'
import { inTime } from '../../../src/core/in-time.ts'
import { migrate } from '../../../src/db/migrate.ts'
import { managementTokenPath, openManagementToken } from '../../../src/config/management-token.ts'
import { Child } from '../../support/child.ts'
import { removeFolder } from '../../support/remove-folder.ts'
import { until, type Teardowns } from '../../support/servers.ts'

t.setTimeout(240_000)

const writer = 'test/db/children/write-embedded.ts'
const isRoot = process.getuid?.() === 0
const seconds = { timeoutMs: 60_000 }

function freshFolder (t: Teardowns): string {
  const folder = mkdtempSync(join(tmpdir(), 'navis-data-'))
  t.teardown(async () => { await removeFolder(folder) })
  return folder
}

/** The data folder that the first test makes. */
const made = join(freshFolder(tap), 'new')

/** A data folder that a service has used before: a copy, because making a database costs more than most of these tests. */
function usedFolder (t: Teardowns): string {
  const dataDir = freshFolder(t)
  // With its owner: as root, the database belongs to another user.
  execFileSync('cp', ['-a', `${made}/.`, dataDir])
  return dataDir
}

function pool (t: Teardowns, url: string, max = 1) {
  const { sql, close } = connect({ url, max })
  t.teardown(close)
  return sql
}

function socketFolderOf (embedded: EmbeddedPostgres): string {
  return new URL(embedded.url).searchParams.get('host') ?? ''
}

async function postmasterOf (child: Child): Promise<number> {
  const [, pid] = await child.printed(/postmaster (\d+)/)
  return Number(pid)
}

function isAlive (pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ')
  } catch {
    return false
  }
}

function childrenOf (pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number)
}

t.test('one data folder', async (t) => {
  const dataDir = made
  const embedded = await startEmbedded({ dataDir })
  t.teardown(embedded.stop)

  await t.test('takes the migrations of any Postgres, twice', async (t) => {
    await migrate(embedded.url)
    await migrate(embedded.url)
    t.match(await pool(t, embedded.url)`select seq from navis_keys.revocation_clock`, [{ seq: '0' }])
  })

  await t.test('has what it has confirmed on the disk, and finds out when the disk has changed it', async (t) => {
    const [settings] = await pool(t, embedded.url)`
      select current_setting('fsync') as fsync, current_setting('full_page_writes') as pages, current_setting('synchronous_commit') as commit, current_setting('data_checksums') as checksums`
    t.same({ ...settings }, { fsync: 'on', pages: 'on', commit: 'on', checksums: 'on' })
  })

  await t.test('keeps its buffers small, and knows upper and lower case of every script', async (t) => {
    const [row] = await pool(t, embedded.url)`select pg_size_bytes(current_setting('shared_buffers')) / 1e6 as megabytes, 'ÄÖ' ilike 'äö' as same`
    t.ok(Number(row?.['megabytes']) < 50)
    t.equal(row?.['same'], true)
  })

  await t.test('takes connections of this machine alone, and where only this user gets in', async (t) => {
    t.match(await pool(t, embedded.url)`select current_setting('listen_addresses') as addresses`, [{ addresses: '' }])
    t.equal(statSync(dataDir).mode & 0o777, 0o700)
    t.equal(statSync(socketFolderOf(embedded)).mode & 0o777, 0o700)
  })

  await t.test('a second one in the same process is refused', async (t) => {
    await t.rejects(startEmbedded({ dataDir }), { name: 'DataFolderInUse' })
  })

  await t.test('is started again when it comes to a sudden end', async (t) => {
    // Over a new connection each time, and not for ever: a pool of the driver can lose its only one when it ends (docs/upstream/postgres-js.md), which the service replaces.
    const ask = async () => {
      const { sql, close } = connect({ url: embedded.url, max: 1 })
      try {
        return (await inTime(sql`select split_part(pg_read_file('postmaster.pid'), e'\n', 1)::int as pid`, 5000))[0]?.['pid'] as number
      } finally {
        await close()
      }
    }
    const before = await ask()
    process.kill(before, 'SIGKILL')
    await until(async () => await ask() !== before, seconds)
    await t.rejects(startEmbedded({ dataDir }), { name: 'DataFolderInUse' }, 'and still has its owner')
  })
})

t.test('a data folder with a path too long for a socket works as well, and others still find it; as root, also one that the user of Postgres cannot reach', async (t) => {
  const hidden = join(freshFolder(t), 'hidden')
  mkdirSync(hidden, { mode: 0o700 })
  const dataDir = join(hidden, 'a'.repeat(60), 'b'.repeat(60))
  const embedded = await startEmbedded({ dataDir })
  t.match(await pool(t, embedded.url)`select 1 as one`, [{ one: 1 }])
  t.notOk(socketFolderOf(embedded).startsWith(dataDir))
  t.equal(statSync(socketFolderOf(embedded)).mode & 0o777, 0o700)
  t.equal(await runningEmbeddedUrl(dataDir), embedded.url)
  if (isRoot) t.not(statSync(join(dataDir, 'postgres')).uid, 0, 'Postgres runs as another user')
  await embedded.stop()
  t.notOk(existsSync(socketFolderOf(embedded)))
  t.equal(await runningEmbeddedUrl(dataDir), undefined)
})

t.test('a data folder that cannot be one is refused in a sentence, at once', async (t) => {
  for (const dataDir of ['/proc/x', '/proc/x/y', '/etc/hostname', '/etc/hostname/x']) {
    await t.rejects(startEmbedded({ dataDir }), { name: 'UnfitDataFolder', message: /^DATA_DIR: .* Set DATA_DIR to a folder/ }, dataDir)
  }
})

t.test('files of another version, or of no database, are left alone and told', async (t) => {
  const dataDir = freshFolder(t)
  mkdirSync(join(dataDir, 'postgres'))
  await t.rejects(startEmbedded({ dataDir }), { name: 'UnfitDataFolder', message: /contains no database.*Move that folder away/ })
  writeFileSync(join(dataDir, 'postgres', 'PG_VERSION'), '16\n')
  await t.rejects(startEmbedded({ dataDir }), { name: 'UnfitDataFolder', message: /a database of PostgreSQL 16, but this service comes with PostgreSQL 18/ })
})

t.test('a database that cannot start says why', async (t) => {
  const dataDir = usedFolder(t)
  rmSync(join(dataDir, 'postgres', 'global', 'pg_control'))
  await t.rejects(startEmbedded({ dataDir }), { name: 'UnfitDataFolder', message: /Postgres does not start in .*: .*pg_control/ })
})

t.test('a process that is killed with its Postgres loses nothing that was confirmed, and the next one takes over', async (t) => {
  const dataDir = usedFolder(t)
  for (let round = 0; round < 3; round++) {
    const child = new Child(t, { file: writer, args: [dataDir] })
    const postmaster = await postmasterOf(child)
    await until(() => (child.stdout.match(/wrote/g) ?? []).length > 100 + round * 37, seconds)
    // The power cord: everything at once in the first rounds, the service alone in the last.
    const pids = round < 2 ? [postmaster, ...childrenOf(postmaster)] : []
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    await child.kill()
    const written = child.stdout.split('\n').slice(0, -1).flatMap((line) => line.startsWith('wrote ') ? [Number(line.slice(6))] : [])
    const embedded = await startEmbedded({ dataDir })
    const { sql, close } = connect({ url: embedded.url, max: 1 })
    const there = new Set((await sql`select n from public.numbers`).map(({ n }) => n as number))
    t.same(written.filter((n) => !there.has(n)), [], `all of ${written.length} are there`)
    await close()
    await embedded.stop()
  }
  t.same(readdirSync(dataDir), ['postgres'], 'no locks and sockets are left')
})

t.test('a start waits for what is left of a server that was killed', async (t) => {
  const dataDir = usedFolder(t)
  const child = new Child(t, { file: writer, args: [dataDir, '--idle'] })
  const postmaster = await postmasterOf(child)
  const [survivor, ...others] = childrenOf(postmaster) as [number, ...number[]]
  process.kill(survivor, 'SIGSTOP')
  for (const pid of [postmaster, ...others]) process.kill(pid, 'SIGKILL')
  await child.kill()
  const started = startEmbedded({ dataDir })
  await new Promise((resolve) => { setTimeout(resolve, 1000) })
  process.kill(survivor, 'SIGKILL')
  const embedded = await started
  t.match(await pool(t, embedded.url)`select count(*)::int as count from public.numbers`, [{ count: 0 }])
  await embedded.stop()
})

t.test('a process that is killed takes its Postgres with it', async (t) => {
  const child = new Child(t, { file: writer, args: [usedFolder(t), '--idle'] })
  const postmaster = await postmasterOf(child)
  t.ok(isAlive(postmaster))
  await child.kill()
  await until(() => !isAlive(postmaster), seconds)
})

t.test('a Postgres that was left behind by its owner is ended and started anew', async (t) => {
  const dataDir = usedFolder(t)
  const child = new Child(t, { file: writer, args: [dataDir, '--idle'] })
  const postmaster = await postmasterOf(child)
  const guards = childrenOf(child.process.pid as number).filter((pid) => pid !== postmaster)
  for (const pid of guards) process.kill(pid, 'SIGKILL')
  await child.kill()
  t.ok(isAlive(postmaster), 'it runs on')
  const embedded = await startEmbedded({ dataDir })
  t.notOk(isAlive(postmaster))
  t.match(await pool(t, embedded.url)`select count(*)::int as count from public.numbers`, [{ count: 0 }])
  await embedded.stop()
})

t.test('a second process is refused, and told which folder and what to do', async (t) => {
  const dataDir = usedFolder(t)
  const child = new Child(t, { file: writer, args: [dataDir, '--idle'] })
  await child.printed(/open/)
  const error = await startEmbedded({ dataDir }).catch((error: unknown) => error)
  t.ok(error instanceof DataFolderInUse)
  t.match((error as Error).message, new RegExp(`${dataDir} is in use by process ${child.process.pid}\\. Stop.*DATA_DIR.*DATABASE_URL`))

  const url = await runningEmbeddedUrl(dataDir)
  t.ok(url, 'it can use the database of the first')
  t.match(await pool(t, url ?? '')`select count(*)::int as count from public.numbers`, [{ count: 0 }])
  child.process.kill('SIGSTOP')
  await t.rejects(startEmbedded({ dataDir }), { name: 'DataFolderInUse' }, 'also while the first is frozen')
})

t.test('a note whose process id has been given to another program does not keep anybody out', async (t) => {
  const dataDir = usedFolder(t)
  writeFileSync(join(dataDir, 'postgres', 'postmaster.pid'), `${process.pid}\n${dataDir}/postgres\n1\n5432\n.\n\n\nready\n`)
  t.equal(await runningEmbeddedUrl(dataDir), undefined)
  const embedded = await startEmbedded({ dataDir })
  t.equal(await runningEmbeddedUrl(dataDir), embedded.url)
  await embedded.stop()
})

t.test('a process that is killed while it makes the database does not spoil the folder; of three that then start at once, one gets it', async (t) => {
  const dataDir = freshFolder(t)
  const killed = new Child(t, { file: writer, args: [dataDir, '--idle'] })
  await until(() => readdirSync(dataDir).some((name) => name.startsWith('postgres.draft-') && existsSync(join(dataDir, name, 'base'))), seconds)
  await killed.kill()
  const children = Array.from({ length: 3 }, () => new Child(t, { file: writer, args: [dataDir, '--idle'] }))
  const outcomes = await Promise.all(children.map(async (child) => (await child.printed(/open|DataFolderInUse/, { timeoutMs: 180_000 }))[0]))
  t.same(outcomes.sort(), ['DataFolderInUse', 'DataFolderInUse', 'open'])
  t.same(readdirSync(dataDir), ['postgres'], 'no drafts are left')
})

t.test('what root has put back belongs to the user of Postgres again', { skip: !isRoot && 'not root' }, async (t) => {
  const dataDir = usedFolder(t)
  chownSync(join(dataDir, 'postgres'), 0, 0)
  chownSync(join(dataDir, 'postgres', 'PG_VERSION'), 0, 0)
  const embedded = await startEmbedded({ dataDir })
  t.not(statSync(join(dataDir, 'postgres', 'PG_VERSION')).uid, 0)
  await embedded.stop()
})

t.test('not as root, it runs as this user', { skip: !isRoot && 'all other tests show it' }, async (t) => {
  const dataDir = freshFolder(t)
  chmodSync(dataDir, 0o700)
  chownSync(dataDir, 65534, 65534)
  const child = new Child(t, { file: writer, args: [dataDir, '--nobody'] })
  const postmaster = await postmasterOf(child)
  t.equal(statSync(`/proc/${postmaster}`).uid, 65534)
})

t.test('the management token is made once, for the owner of the folder alone', async (t) => {
  const dataDir = freshFolder(t)
  const token = openManagementToken(dataDir)
  t.match(token, /^[0-9a-f]{64}$/)
  t.equal(openManagementToken(dataDir), token)
  t.equal(statSync(managementTokenPath(dataDir)).mode & 0o777, 0o600)
  writeFileSync(managementTokenPath(dataDir), 'short\n')
  t.throws(() => openManagementToken(dataDir), /does not contain a token of 32 characters/)
})
