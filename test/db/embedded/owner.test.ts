import t from 'tap'
import { connect } from '../../../src/db/connect.ts'
import { becomeOwner } from '../../../src/db/embedded/owner.ts'
import { freshDatabase, until } from '../../support/servers.ts'

t.test('an owner whose connection ended is the owner again, also when another process had asked who is at that moment', async (t) => {
  const url = await freshDatabase(t, { migrated: false })
  const owned = await becomeOwner(url)
  if (!('close' in owned)) throw new Error(owned.holder)
  t.teardown(owned.close)
  const [asking, administrator] = [connect({ url, max: 1 }), connect({ url, max: 1 })]
  t.teardown(asking.close)
  t.teardown(administrator.close)
  const lock = administrator.sql`select objid, pid, granted from pg_locks where locktype = 'advisory'`
  const [{ objid: key, pid } = {}] = await lock
  // Waits in line: it has the lock as soon as the connection of the owner is gone, before the owner can ask again.
  const asked = asking.sql`select pg_advisory_lock(${key})`.execute()
  await until(async () => (await administrator.sql`select from pg_locks where locktype = 'advisory' and not granted`).length === 1)
  await administrator.sql`select pg_terminate_backend(${pid})`
  await asked
  await until(async () => (await administrator.sql`
    select from pg_stat_activity where datname = current_database() and pid <> ${pid} and state = 'idle' and query like '%pg_try_advisory_lock%'`).length === 1)
  t.match(await becomeOwner(url), { holder: String }, 'somebody has it')
  await asking.sql`select pg_advisory_unlock(${key})`
  await until(async () => {
    const found = await becomeOwner(url)
    if ('close' in found) await found.close()
    return 'holder' in found && found.holder === `process ${process.pid}`
  }, { timeoutMs: 5000 })
})

t.test('who was the owner a moment ago, such as a process that was killed, is not told as one that nobody knows', async (t) => {
  const url = await freshDatabase(t, { migrated: false })
  const told: string[] = []
  await Promise.all(Array.from({ length: 10 }, async () => {
    for (let i = 0; i < 5; i++) {
      const found = await becomeOwner(url)
      if ('close' in found) await found.close()
      else told.push(found.holder)
    }
  }))
  t.ok(told.length > 0, 'they met')
  t.strictSame([...new Set(told)], [`process ${process.pid}`])
})
