import fs, { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { connect } from '../../../src/db/connect.ts'
import { DataFolderInUse, socketName } from '../../../src/db/embedded/data-folder-lock.ts'
import { runningEmbeddedUrl, startEmbedded, type EmbeddedPostgres } from '../../../src/db/embedded/embedded.ts'
import { migrate } from '../../../src/db/migrate.ts'
import { managementTokenPath, openManagementToken } from '../../../src/config/management-token.ts'
import { Child } from '../../support/child.ts'
import { until, type Teardowns } from '../../support/servers.ts'

const writer = 'test/db/children/write-embedded.ts'

function freshFolder (t: Teardowns): string {
  const folder = mkdtempSync(join(tmpdir(), 'navis-data-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true, maxRetries: 5 }) })
  return folder
}

function pool (t: Teardowns, embedded: EmbeddedPostgres, max = 1) {
  const { sql, close } = connect({ url: embedded.url, max })
  t.teardown(close)
  return sql
}

function socketFolderOf (embedded: EmbeddedPostgres): string {
  return new URL(embedded.url).searchParams.get('host') ?? ''
}

t.test('one embedded Postgres, many connections', async (t) => {
  const embedded = await startEmbedded({ dataDir: freshFolder(t) })
  t.teardown(embedded.stop)

  await t.test('takes the migrations of the real one, twice', async (t) => {
    await migrate(embedded.url)
    await migrate(embedded.url)
    t.match(await pool(t, embedded)`select seq from navis_keys.revocation_clock`, [{ seq: '0' }])
  })

  await t.test('keeps its buffers small', async (t) => {
    const [row] = await pool(t, embedded)`select pg_size_bytes(current_setting('shared_buffers')) / 1e6 as megabytes`
    t.ok(Number(row?.['megabytes']) < 50, `${row?.['megabytes']} MB`)
  })

  await t.test('gives every one of many connections its own answers, prepared or not', async (t) => {
    const sql = pool(t, embedded, 30)
    const answers = await Promise.all(Array.from({ length: 600 }, async (_, n) => {
      const [row] = await sql.unsafe(`select $1::int as n -- ${n % 7}`, [n], { prepare: n % 2 === 0 })
      return row?.['n'] as number
    }))
    t.same(answers, Array.from({ length: 600 }, (_, n) => n))
  })

  await t.test('keeps transactions of several connections apart', async (t) => {
    const sql = pool(t, embedded, 8)
    await sql`create table accounts (id int primary key, amount int not null)`
    await sql`insert into accounts select n, 100 from generate_series(1, 4) n`
    const moves = Array.from({ length: 80 }, async (_, n) => {
      await sql.begin(async (tx) => {
        await tx`update accounts set amount = amount - 1 where id = ${n % 4 + 1}`
        await new Promise((resolve) => { setImmediate(resolve) })
        if (n % 3 === 0) throw new Error('changed my mind')
        await tx`update accounts set amount = amount + 1 where id = ${(n + 1) % 4 + 1}`
      }).catch((error: Error) => { if (error.message !== 'changed my mind') throw error })
    })
    const sums = Array.from({ length: 40 }, async () => (await sql`select sum(amount)::int as sum from accounts`)[0]?.['sum'] as number)
    await Promise.all(moves)
    t.same(new Set(await Promise.all(sums)), new Set([400]))
    t.match(await sql`select sum(amount)::int as sum from accounts`, [{ sum: 400 }])
  })

  await t.test('an error in one connection is not an error in another', async (t) => {
    const sql = pool(t, embedded, 6)
    const results = await Promise.allSettled(Array.from({ length: 60 }, async (_, n) => {
      return await sql.unsafe(n % 2 === 0 ? 'select $1::int / 0 as n' : 'select $1::int as n', [n])
    }))
    t.ok(results.every(({ status }, n) => status === (n % 2 === 0 ? 'rejected' : 'fulfilled')))
  })

  await t.test('a client that vanishes in the middle of a transaction leaves nothing behind', async (t) => {
    const sql = pool(t, embedded)
    await sql`create table marks (n int)`
    const child = new Child(t, { file: 'test/db/children/vanish.ts', args: [embedded.url] })
    await child.printed(/in the middle/)
    await child.kill()
    t.match(await sql`select count(*)::int as count from marks`, [{ count: 0 }])
    await sql`insert into marks values (1)`
    t.match(await sql`select count(*)::int as count from marks`, [{ count: 1 }])
    t.match(await sql`select count(*)::int as count from pg_prepared_statements where statement like 'insert into marks values ($1)%'`, [{ count: 0 }])
  })

  await t.test('a client that stands still in the middle of a transaction is ended', async (t) => {
    const sql = pool(t, embedded)
    const child = new Child(t, { file: 'test/db/children/vanish.ts', args: [embedded.url] })
    await child.printed(/in the middle/)
    const asked = performance.now()
    t.match(await sql`select count(*)::int as count from marks`, [{ count: 1 }])
    t.ok(performance.now() - asked < 8000)
  })

  await t.test('what is no client of Postgres is shown the door', async (t) => {
    const socket = connectSocket(join(socketFolderOf(embedded), socketName))
    const closed = new Promise((resolve) => { socket.once('close', resolve) })
    socket.on('error', () => {})
    socket.write('GET / HTTP/1.1\r\n\r\n')
    await closed
    t.match(await pool(t, embedded)`select 1 as one`, [{ one: 1 }])
  })
})

t.test('the socket lies where only this user gets in', async (t) => {
  const dataDir = join(freshFolder(t), 'new')
  const embedded = await startEmbedded({ dataDir })
  t.teardown(embedded.stop)
  t.equal(statSync(dataDir).mode & 0o777, 0o700)
  t.equal(statSync(socketFolderOf(embedded)).mode & 0o777, 0o700)
})

t.test('a data folder with a path too long for a socket works as well, and others still find it', async (t) => {
  const dataDir = join(freshFolder(t), 'a'.repeat(60), 'b'.repeat(60))
  const embedded = await startEmbedded({ dataDir })
  t.match(await pool(t, embedded)`select 1 as one`, [{ one: 1 }])
  t.notOk(socketFolderOf(embedded).startsWith(dataDir))
  t.equal(statSync(socketFolderOf(embedded)).mode & 0o777, 0o700)
  t.equal(await runningEmbeddedUrl(dataDir), embedded.url)
  await embedded.stop()
  t.notOk(existsSync(socketFolderOf(embedded)))
})

t.test('what is confirmed has reached the disk', { skip: process.platform !== 'linux' && 'only Linux names the file of a descriptor' }, async (t) => {
  const synced: string[] = []
  const { fsyncSync } = fs
  t.teardown(() => {
    fs.fsyncSync = fsyncSync
    syncBuiltinESMExports()
  })
  fs.fsyncSync = (descriptor) => {
    fsyncSync(descriptor)
    synced.push(fs.readlinkSync(`/proc/self/fd/${descriptor}`))
  }
  syncBuiltinESMExports()
  const dataDir = freshFolder(t)
  const embedded = await startEmbedded({ dataDir })
  t.teardown(embedded.stop)
  t.ok(synced.some((path) => path.endsWith('/global/pg_control')), 'the database as it was made')
  t.ok(synced.includes(dataDir), 'and the name it was given')
  const sql = pool(t, embedded)
  await sql`create table numbers (n int)`
  for (const n of [1, 2, 3]) {
    synced.length = 0
    await sql`insert into numbers values (${n})`
    t.match(synced.find((path) => path.includes('/pg_wal/')), /postgres\/pg_wal\/[0-9A-F]{24}$/, `commit ${n}`)
  }
  synced.length = 0
  await sql`checkpoint`
  t.ok(synced.some((path) => path.includes('/base/')), 'a checkpoint syncs the tables before it forgets the log')
})

t.test('a data folder that cannot be one is refused in a sentence, at once', async (t) => {
  for (const dataDir of ['/proc/x', '/proc/x/y', '/etc/hostname', '/etc/hostname/x']) {
    await t.rejects(startEmbedded({ dataDir }), { name: 'UnfitDataFolder', message: /^DATA_DIR: .* Set DATA_DIR to a folder/ }, dataDir)
  }
})

t.test('a process that is killed loses nothing that was confirmed, and the next one takes over', async (t) => {
  const dataDir = freshFolder(t)
  let confirmed = 0
  for (let round = 0; round < 3; round++) {
    const child = new Child(t, { file: writer, args: [dataDir] })
    await until(() => (child.stdout.match(/wrote/g) ?? []).length > 100 + round * 37, { timeoutMs: 60_000 })
    await child.kill()
    confirmed = Math.max(confirmed, ...child.stdout.trim().split('\n').flatMap((line) => line.startsWith('wrote ') ? [Number(line.slice(6))] : []))
    const written = child.stdout.split('\n').slice(0, -1).flatMap((line) => line.startsWith('wrote ') ? [Number(line.slice(6))] : [])
    const embedded = await startEmbedded({ dataDir })
    const { sql, close } = connect({ url: embedded.url, max: 1 })
    const rows = await sql`select n from numbers`
    const there = new Set(rows.map(({ n }) => n as number))
    t.same(written.filter((n) => !there.has(n)), [], `all of ${written.length} are there`)
    await close()
    await embedded.stop()
  }
  t.ok(confirmed > 300)
  t.same(readdirSync(dataDir).sort(), ['postgres'], 'no locks and sockets are left')
})

t.test('a process that is killed while it makes the database does not spoil the folder', async (t) => {
  const dataDir = freshFolder(t)
  const child = new Child(t, { file: writer, args: [dataDir, '--idle'] })
  await until(() => existsSync(join(dataDir, 'postgres.draft', 'base')), { timeoutMs: 60_000 })
  await child.kill()
  const embedded = await startEmbedded({ dataDir })
  t.match(await pool(t, embedded)`select 1 as one`, [{ one: 1 }])
  await embedded.stop()
})

t.test('a second process is refused, and told which folder and what to do', async (t) => {
  const dataDir = freshFolder(t)
  const child = new Child(t, { file: writer, args: [dataDir, '--idle'] })
  await child.printed(/open/)
  const error = await startEmbedded({ dataDir }).catch((error: unknown) => error)
  t.ok(error instanceof DataFolderInUse)
  t.match((error as Error).message, new RegExp(`${dataDir} is in use by process ${child.process.pid}.*Stop.*DATA_DIR.*DATABASE_URL`))

  t.ok(await runningEmbeddedUrl(dataDir), 'it can use the database of the first')
  child.process.kill('SIGSTOP')
  await t.rejects(startEmbedded({ dataDir }), { name: 'DataFolderInUse' }, 'also while the first is frozen')
})

t.test('a lock whose process id has been given to another process is taken over', async (t) => {
  const dataDir = freshFolder(t)
  const dead = { pid: process.pid, startTime: 'another boot/1', socketFolder: join(dataDir, 'socket-gone'), nonce: 'dead' }
  writeFileSync(join(dataDir, 'lock'), JSON.stringify(dead))
  t.equal(await runningEmbeddedUrl(dataDir), undefined)
  const embedded = await startEmbedded({ dataDir })
  t.equal(await runningEmbeddedUrl(dataDir), embedded.url)
  await embedded.stop()
})

t.test('of six processes that find a dead lock at once, one gets the folder', async (t) => {
  const dataDir = freshFolder(t)
  mkdirSync(join(dataDir, 'socket-gone'))
  writeFileSync(join(dataDir, 'lock'), JSON.stringify({ pid: 1, startTime: 'another boot/1', socketFolder: join(dataDir, 'socket-gone'), nonce: 'dead' }))
  const starts = await Promise.allSettled(Array.from({ length: 6 }, async () => await startEmbedded({ dataDir })))
  const started = starts.flatMap((start) => start.status === 'fulfilled' ? [start.value] : [])
  const refused = starts.flatMap((start) => start.status === 'rejected' ? [start.reason as Error] : [])
  t.equal(started.length, 1)
  t.same([...new Set(refused.map(({ name }) => name))], ['DataFolderInUse'])
  await started[0]?.stop()
})

t.test('the management token is made once, for the owner of the folder alone', async (t) => {
  const dataDir = freshFolder(t)
  const token = openManagementToken(dataDir)
  t.match(token, /^[0-9a-f]{64}$/)
  t.equal(openManagementToken(dataDir), token)
  t.equal(statSync(managementTokenPath(dataDir)).mode & 0o777, 0o600)
  writeFileSync(managementTokenPath(dataDir), 'short\n')
  t.throws(() => openManagementToken(dataDir), /holds no token of 32 characters/)
})
