import { drizzle } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import t from 'tap'
import { inTime } from '../../src/core/in-time.ts'
import { openKeys } from '../../src/engine/open-keys.ts'
import { isLong } from '../support/long.ts'
import { freshDatabase, freshRedis } from '../support/servers.ts'
import { until } from '../support/until.ts'
import { openReplica } from './local-replica.ts'
import { administer, startReplica, warm, type Replica } from './replicas.ts'

t.setTimeout(240_000)

const [changes, loadsEach] = isLong ? [40, 4] : [4, 2]
const answerMs = 15_000

/** The answer, or an error when there is none in time: what hangs must not end the test by hanging it. */
async function answered<T> (what: string, answer: Promise<T>): Promise<T> {
  return await inTime(answer, answerMs).catch((error: unknown) => { throw new Error(`${what} was not answered within ${answerMs} ms`, { cause: error }) })
}

t.test('while the types of selected columns change under load, nothing hangs, nothing revoked is accepted and nothing living refused, and all goes on afterwards', async (t) => {
  const [databaseUrl, redisUrl] = [await freshDatabase(t), await freshRedis(t)]
  const options = { databaseUrl, redisUrl, windowMs: 3000 }
  const replicas = await Promise.all([startReplica(t, options), openReplica(t, options)])
  const [gone, living] = [await replicas[0].createMany(3), await replicas[0].createMany(3)]
  await warm(replicas, [...gone, ...living])
  for (const { id } of gone) await replicas[0].revoke(id)
  const over = new AbortController()
  const seen = new Map<string, number>()
  const note = (what: string) => { seen.set(what, (seen.get(what) ?? 0) + 1) }
  const load = async (replica: Replica) => {
    while (!over.signal.aborted) {
      // Made now, and so read from Postgres by the replica that is asked for it; unknown ones are, too.
      const made = await answered('a create', replica.create().catch(() => undefined))
      if (made !== undefined) {
        const other = replicas.find((one) => one !== replica)!
        note(`made ${await answered('a lookup', other.status(made.token))}`)
        if (await answered('a revocation', replica.revoke(made.id).then(() => true, () => false))) note(`revoked ${await answered('a lookup', other.status(made.token))}`)
      }
      for (const { token } of gone) note(`gone ${await answered('a lookup', replica.status(token))}`)
      for (const { token } of living) note(`living ${await answered('a lookup', replica.status(token))}`)
    }
  }
  const loads = replicas.flatMap((replica) => Array.from({ length: loadsEach }, async () => { await load(replica) }))
  for (let n = 0; n < changes; n++) {
    const [text, whole] = n % 2 === 0 ? ['varchar(300)', 'bigint'] : ['text', 'integer']
    await administer(databaseUrl,
      `alter table navis_keys.keys alter column name type ${text}`,
      `alter table navis_keys.window_members alter column window_ms type ${whole}`,
      `alter table navis_keys.revocation_clock alter column window_ms type ${whole}`
    )
    await new Promise((resolve) => { setTimeout(resolve, 100) })
  }
  over.abort()
  await Promise.all(loads)
  const outcomes = [...seen.keys()]
  t.strictSame(outcomes.filter((outcome) => !['made 200', 'made 503', 'revoked 401', 'revoked 503', 'gone 401', 'gone 503', 'living 200', 'living 503'].includes(outcome)), [], JSON.stringify([...seen]))
  t.ok(outcomes.includes('made 200') && outcomes.includes('revoked 401'), 'it went on meanwhile')
  for (const replica of replicas) {
    const key = await replica.create()
    await warm(replicas, [key, ...living])
    await replica.revoke(key.id)
    for (const other of replicas) await until(async () => await other.status(key.token) === 401)
  }
  t.comment([...seen].map(([what, times]) => `${what}: ${times}`).join(', '))
})

t.test('changes at once over few connections of a host application, whose client prepares statements, are answered while the types of selected columns change, and afterwards', async (t) => {
  const databaseUrl = await freshDatabase(t)
  // Fewer connections than changes at a time: statements follow one another on a connection before they are answered.
  const sql = postgres(databaseUrl, { max: 2, onnotice: () => {} })
  t.teardown(async () => { await sql.end({ timeout: 1 }) })
  const keys = await openKeys({ db: drizzle(sql), trustWindowMs: 3000 })
  t.teardown(async () => { await keys.close() })
  const over = new AbortController()
  const seen = new Map<string, number>()
  const outcome = async <T>(what: string, call: Promise<T>): Promise<T | undefined> => {
    const note = (how: string) => { seen.set(`${what} ${how}`, (seen.get(`${what} ${how}`) ?? 0) + 1) }
    return await answered(what, call).then((value) => { note('done'); return value }, (error: Error & { code?: string }) => { note(error.code ?? error.message); return undefined })
  }
  const change = async (keyId: string, name: string) => await keys.service.update({ workspaceId: 'w', keyId, name, actor: 'ops' } as never)
  const create = async () => (await keys.service.create({ workspaceId: 'w', name: 'n', scope: 'mcp:read', actor: 'ops', ownerId: null, metadata: {}, expiresAt: null } as never)) as unknown as { key: { id: string } }
  const load = async (place: number) => {
    const made = await outcome('create', create())
    if (made === undefined) return
    for (let n = 0; !over.signal.aborted; n++) await outcome('edit', change(made.key.id, `${place} ${n}`))
  }
  const loads = Array.from({ length: 8 }, async (_, place) => { await load(place) })
  for (let n = 0; n < 2 * changes; n++) {
    const [text, whole] = n % 2 === 0 ? ['varchar(300)', 'smallint'] : ['text', 'integer']
    await administer(databaseUrl, `alter table navis_keys.keys alter column name type ${text}`, `alter table navis_keys.revocation_clock alter column window_ms type ${whole}`)
    await new Promise((resolve) => { setTimeout(resolve, 100) })
  }
  over.abort()
  await Promise.all(loads)
  t.comment([...seen].map(([what, times]) => `${what}: ${times}`).join(', '))
  t.strictSame([...seen.keys()].filter((what) => !['create done', 'create unavailable', 'edit done', 'edit unavailable'].includes(what)), [])
  t.ok(seen.has('edit done'), 'it went on meanwhile')
  t.equal(keys.stats().answersRefused, 0, 'each statement got its own answer')
  // More than there are connections: one on which nothing is answered any more would show.
  await until(async () => (await Promise.allSettled(Array.from({ length: 8 }, create))).every(({ status }) => status === 'fulfilled'), { timeoutMs: 20_000 })
})
