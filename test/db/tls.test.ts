import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { connect } from '../../src/db/connect.ts'
import { migrate } from '../../src/db/migrate.ts'
import { openKeys } from '../../src/engine/open-keys.ts'
import { Authority } from '../support/authority.ts'
import { startPostgres, until } from '../support/servers.ts'
import { administer } from '../window/replicas.ts'

t.setTimeout(120_000)

/* A real Postgres with TLS, an authority of the test's own, and one that nobody knows. */

const folder = t.testdir({ known: {}, other: {} })
const [known, other] = [new Authority(join(folder, 'known')), new Authority(join(folder, 'other'))]
const server = await startPostgres(t)
await migrate(server.url)

/** The server shows this certificate from now on, to new connections. */
async function show (dir: string, name: string): Promise<void> {
  const { uid, gid } = statSync(server.dir)
  const files = ['pem', 'key'].map((ending) => {
    const file = join(server.dir, `${name}.${ending}`)
    copyFileSync(join(folder, dir, `${name}.${ending}`), file)
    chmodSync(file, 0o600)
    chownSync(file, uid, gid)
    return file
  })
  await administer(server.url, `alter system set ssl_cert_file = '${files[0]}'`, `alter system set ssl_key_file = '${files[1]}'`, "alter system set ssl = 'on'", 'select pg_reload_conf()')
  // It reads its files some time after it was told to.
  await until(() => new RegExp(`subject=CN ?= ?${name}\n`).test(execFileSync('openssl', ['s_client', '-starttls', 'postgres', '-connect', `127.0.0.1:${server.port}`], { input: '', encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'] })))
}

known.sign('server')
known.sign('elsewhere', { subject: 'DNS:db.example' })
known.sign('second', { subject: 'IP:127.0.0.2' })
known.sign('client')
other.sign('foreign')
await show('known', 'server')

const urlOf = (query: string, { host = '127.0.0.1', port = server.port, user = 'postgres' } = {}) => `postgres://${user}@${host}:${port}/postgres?${query}`
const verified = (file = known.file) => urlOf(`sslmode=verify-full&sslrootcert=${encodeURIComponent(file)}`)

/** Whether the connection is encrypted; rejects with what it was refused for. */
async function isEncrypted (t: Test, url: string): Promise<boolean> {
  const { sql, close } = connect({ url, max: 1 })
  t.teardown(close)
  const [row] = await sql.unsafe('select ssl from pg_stat_ssl where pid = pg_backend_pid()')
  return row?.['ssl'] as boolean
}

t.test('a server whose certificate an authority of the operator has signed is connected to, encrypted', async (t) => {
  t.equal(await isEncrypted(t, verified()), true)
  for (const mode of ['prefer', 'allow', 'require']) t.equal(await isEncrypted(t, urlOf(`sslmode=${mode}`)), true, mode)
  t.equal(await isEncrypted(t, urlOf('sslmode=disable')), false)
})

t.test('a certificate of another authority is refused in a sentence that says what to check, at the migration, at the start and for each connection', async (t) => {
  const sentence = /^The certificate of the Postgres server "127\.0\.0\.1" is not accepted: .+\. Check DATABASE_CA_FILE, or sslrootcert and the host in DATABASE_URL/
  await t.rejects(migrate(verified(other.file)), { name: 'UnfitDatabase', message: sentence })
  await t.rejects(openKeys({ databaseUrl: verified(other.file) }), { name: 'UnfitDatabase', message: sentence })
  await t.rejects(openKeys({ databaseUrl: verified(other.file), migrate: false }), { name: 'UnfitDatabase', message: sentence })
  await t.rejects(isEncrypted(t, urlOf('sslmode=verify-full')), { name: 'TlsRefused', message: sentence }, 'the public authorities have not signed it')
})

t.test('verify-full compares the name, verify-ca does not', async (t) => {
  await show('known', 'elsewhere')
  await t.rejects(isEncrypted(t, verified()), { name: 'TlsRefused', message: /not in the cert's list/ })
  t.equal(await isEncrypted(t, urlOf(`sslmode=verify-ca&sslrootcert=${known.file}`)), true)
  t.equal(await isEncrypted(t, urlOf(`sslmode=require&sslrootcert=${known.file}`)), true, 'as libpq takes it')
  await t.rejects(isEncrypted(t, urlOf(`sslmode=require&sslrootcert=${other.file}`)), { name: 'TlsRefused' })
  await show('known', 'server')
})

t.test('of several hosts the certificate has to be of the one that was reached', async (t) => {
  const hosts = (first: string) => `postgres://postgres@${first}:1,127.0.0.1:${server.port}/postgres?sslmode=verify-full&sslrootcert=${known.file}`
  t.equal(await isEncrypted(t, hosts('127.0.0.2')), true)
  await show('known', 'second')
  await t.rejects(isEncrypted(t, hosts('127.0.0.2')), { name: 'TlsRefused' }, 'and not of the one that was not')
  await show('known', 'server')
})

t.test('the file of the authority is read for each connection: exchanged while the service runs, it is taken at the next one, and a wrong one is an outage', async (t) => {
  const file = join(folder, 'current.pem')
  copyFileSync(known.file, file)
  const keys = await openKeys({ databaseUrl: verified(file), trustWindowMs: 4000 })
  t.teardown(async () => { await keys.close() })
  const create = async () => await keys.service.create({ workspaceId: 'acme', name: 'n', scope: 'mcp:read', actor: 'ops', ownerId: null, metadata: {}, expiresAt: null } as never) as unknown as { token: string }
  const { token } = await create()
  const verify = async () => (await keys.verifier.verify(token, { scope: 'mcp:read' } as never)).valid
  t.equal(await verify(), true)
  const cut = async () => { await administer(server.url, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'navis-keys'") }
  copyFileSync(other.file, file)
  await cut()
  t.equal(await verify(), true, 'from memory, while the window is open')
  const refusals = new Set<unknown>()
  await until(async () => await create().then(() => false, (error: { code?: unknown }) => refusals.add(error.code)))
  t.strictSame([...refusals], ['unavailable'], 'nothing internal: the operator mends it')
  await until(() => !keys.window.isOpen)
  await t.rejects(verify(), { code: 'unavailable' })
  // The server gets a certificate of the authority that the file has by now.
  await show('other', 'foreign')
  await until(async () => await verify().catch(() => false))
  await until(async () => await create().then(() => true, () => false))
  await show('known', 'server')
})

t.test('a file that is away or is no certificate is told by what it is for', async (t) => {
  await t.rejects(isEncrypted(t, verified(join(folder, 'nowhere.pem'))), { name: 'TlsRefused', message: /certificate authority of the database \(DATABASE_CA_FILE, sslrootcert\) cannot be read \(ENOENT\)/ })
  writeFileSync(join(folder, 'garbage.pem'), 'no certificate')
  await t.rejects(isEncrypted(t, verified(join(folder, 'garbage.pem'))), { name: 'TlsRefused' })
})

t.test('a client certificate is shown to a server that asks for one', async (t) => {
  const [hba, authority] = [join(server.dir, 'data', 'pg_hba.conf'), join(server.dir, 'clients.pem')]
  copyFileSync(known.file, authority)
  chmodSync(authority, 0o644)
  const before = readFileSync(hba, 'utf8')
  writeFileSync(hba, `hostssl all certified 127.0.0.1/32 trust clientcert=verify-ca\nhost all certified 127.0.0.1/32 reject\n${before}`)
  t.teardown(() => { writeFileSync(hba, before) })
  await administer(server.url, 'create role certified login', `alter system set ssl_ca_file = '${authority}'`, 'select pg_reload_conf()')
  const query = `sslmode=verify-full&sslrootcert=${known.file}`
  const shown = `&sslcert=${join(folder, 'known', 'client.pem')}&sslkey=${join(folder, 'known', 'client.key')}`
  await until(async () => await isEncrypted(t, urlOf(query + shown, { user: 'certified' })))
  await t.rejects(isEncrypted(t, urlOf(query, { user: 'certified' })), 'without it')
})

/** A server that answers the request for TLS as it is told. */
async function answering (t: Test, answer: (socket: Socket) => void): Promise<string> {
  const listener = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => { answer(socket) })
    t.teardown(() => { socket.destroy() })
  })
  await new Promise<void>((resolve) => { listener.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { listener.close() })
  return urlOf('sslmode=require&connect_timeout=1', { port: (listener.address() as AddressInfo).port })
}

t.test('what is no answer to the request for TLS is refused, and nothing is sent in the clear', async (t) => {
  const plain = await startPostgres(t)
  const sentence = /does not support TLS, which sslmode in DATABASE_URL, or DATABASE_CA_FILE, requires/
  await t.rejects(migrate(urlOf('sslmode=require', { port: plain.port })), { name: 'UnfitDatabase', message: sentence })
  t.equal(await isEncrypted(t, urlOf('sslmode=prefer', { port: plain.port })), false)
  await t.rejects(isEncrypted(t, await answering(t, (socket) => { socket.write('SX') })), { name: 'TlsRefused', message: /did not answer the request for TLS as Postgres does/ }, 'something was put in behind the answer')
  await t.rejects(isEncrypted(t, await answering(t, (socket) => { socket.write('HTTP/1.1 400 Bad Request\r\n\r\n') })), { name: 'TlsRefused' })
  await t.rejects(isEncrypted(t, await answering(t, (socket) => { socket.end() })), { code: 'ECONNRESET' })
  await t.rejects(isEncrypted(t, await answering(t, () => {})), { code: 'CONNECT_TIMEOUT' })
})
