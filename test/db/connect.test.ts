import type { Sql } from 'postgres'
import t, { type Test } from 'tap'
import { connect } from '../../src/db/connect.ts'
import { isWrongServer } from '../../src/db/outage.ts'
import { startPostgres, startProxy, until, type PostgresServer } from '../support/servers.ts'

t.setTimeout(120_000)

async function startReadableStandby (t: Test): Promise<PostgresServer> {
  const server = await startPostgres(t)
  await server.stop()
  server.makeStandby()
  await server.start()
  return server
}

function admin (t: Test, { url }: PostgresServer): Sql {
  const { sql, close } = connect({ url: `${url}?pgbouncer=true`, max: 1, applicationName: 'the administrator' })
  t.teardown(close)
  return sql
}

t.test('a connection that is being made when its pool is given up is closed, and none is begun afterwards', async (t) => {
  const server = await startPostgres(t)
  const proxy = await startProxy(t, { to: server.port })
  proxy.cut()
  const { sql } = connect({ url: `postgres://postgres@127.0.0.1:${proxy.port}/postgres?sslmode=prefer`, max: 2 })
  // It waits for the server's answer to the request for TLS.
  const refused = Promise.allSettled([sql`select 1`, sql`select 1`])
  await until(() => proxy.connections === 2)
  await sql.end({ timeout: 0 })
  t.strictSame((await refused).map(({ status }) => status), ['rejected', 'rejected'])
  proxy.heal()
  // The driver would keep them until they have been idle for half a minute.
  await until(() => proxy.connections === 0, { timeoutMs: 15_000 })
  t.equal(proxy.connections, 0)
})

t.test('each connection to a standby is noticed and closed, not only the first one of a pool, where our settings are kept from it', async (t) => {
  const standby = await startReadableStandby(t)
  const { sql, close } = connect({ url: `${standby.url}?pgbouncer=true`, max: 2 })
  t.teardown(close)
  for (let round = 0; round < 3; round++) {
    const outcomes = await Promise.allSettled([sql`select 1`, sql`select 1`])
    t.ok(outcomes.every((outcome) => outcome.status === 'rejected' && isWrongServer(outcome.reason)), `round ${round}`)
  }
})

t.test('of several hosts the one that takes our connections stays the first when any of them ends', async (t) => {
  const [primary, standby] = [await startPostgres(t), await startReadableStandby(t)]
  let closed = 0
  const { sql, close } = connect({ url: `postgres://postgres@127.0.0.1:${primary.port},127.0.0.1:${standby.port}/postgres`, max: 3, onclose: () => { closed++ } })
  t.teardown(close)
  const administrator = admin(t, primary)
  for (let round = 0; round < 3; round++) {
    closed = 0
    // At the same time, so that each has a connection of its own.
    const pids = await Promise.all([1, 2, 3].map(async () => (await sql`select pg_backend_pid() as pid, pg_sleep(0.2)`)[0]?.pid as number))
    t.equal(new Set(pids).size, 3)
    for (const pid of pids) {
      const before = closed
      await administrator`select pg_terminate_backend(${pid}::int)`
      await until(() => closed > before)
    }
  }
})
