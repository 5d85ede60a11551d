import { drizzle } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { waitOutMs } from '../../src/core/window/durations.ts'
import { createKeys, type UnstartedKeys } from '../../src/engine/open-keys.ts'
import { distortions, DriverDouble } from '../support/driver-double.ts'
import { isLong } from '../support/long.ts'
import { freshDatabase, until } from '../support/servers.ts'

t.setTimeout(120_000)

/* The whole engine on a driver that hands deciding statements something else than their answers. */

const windowMs = 1000
const kinds = {
  renewal: /present as materialized/,
  roll: /'members', coalesce/,
  join: /insert into "navis_keys"\.window_members/,
  change: /set seq = seq \+ 1/,
  read: /find_keys\(/
}

interface Distorted {
  readonly keys: UnstartedKeys
  readonly double: DriverDouble
}

function engine (t: Test, url: string): Distorted {
  const sql = postgres(url, { max: 3, onnotice: () => {}, prepare: false })
  t.teardown(async () => { await sql.end({ timeout: 1 }) })
  const double = new DriverDouble(sql)
  const keys = createKeys({ db: drizzle(double.sql), trustWindowMs: windowMs, migrate: false })
  t.teardown(async () => { await keys.close() })
  return { keys, double }
}

const create = async (keys: UnstartedKeys) => await keys.service.create({ workspaceId: 'acme', name: 'n', scope: 'mcp:read', actor: 'ops', ownerId: null, metadata: {}, expiresAt: null } as never) as unknown as { key: { id: string }, token: string }
const verify = async (keys: UnstartedKeys, token: string) => await keys.verifier.verify(token, { scope: 'mcp:read' } as never)
const revoke = async (keys: UnstartedKeys, keyId: string) => await keys.service.revoke({ workspaceId: 'acme', keyId, actor: 'ops', reason: undefined } as never)

/** With each distortion of this kind of statement, and healed after it; without `TEST_LONG` with one of them where each takes a whole window. */
function withEach (kind: keyof typeof kinds, promise: string, prove: (t: Test, distorted: Distorted, distort: () => void) => Promise<void>): void {
  t.test(`while ${kind === 'read' ? 'each read of keys' : `each ${kind}`} is answered by something else, ${promise}`, async (t) => {
    const isQuick = kind === 'change' || kind === 'read'
    const url = await freshDatabase(t)
    for (const { name, distort } of distortions.filter(({ name }) => isQuick || isLong || name === 'an empty list')) {
      // An answer to a joining has no number.
      if (kind === 'join' && name.includes('number')) continue
      await t.test(name, async (t) => {
        const distorted = engine(t, url)
        const { double, keys } = distorted
        double.only = kinds[kind]
        const begin = () => { double.distort = distort }
        if (kind === 'join') begin()
        await keys.start()
        await prove(t, distorted, begin)
        t.ok(double.distorted > 0, 'the statement was sent')
        t.ok(keys.stats().answersRefused > 0, 'what was refused is counted')
        double.distort = undefined
        await until(async () => {
          const { key, token } = await create(keys)
          if (!(await verify(keys, token)).valid) return false
          await revoke(keys, key.id)
          return !(await verify(keys, token)).valid
        })
      })
    }
  })
}

withEach('renewal', 'no window opens', async (t, { keys }, distort) => {
  const { token } = await create(keys)
  t.match(await verify(keys, token), { valid: true })
  distort()
  await until(() => !keys.window.isOpen)
  await t.rejects(verify(keys, token), { code: 'unavailable' })
})

withEach('join', 'no window opens', async (t, { keys }) => {
  t.equal(keys.window.isOpen, false)
  await t.rejects(verify(keys, (await create(keys)).token), { code: 'unavailable' })
})

withEach('roll', 'no wait ends before its time', async (t, { keys }, distort) => {
  const { key } = await create(keys)
  distort()
  const begun = performance.now()
  await revoke(keys, key.id)
  t.ok(performance.now() - begun >= waitOutMs(windowMs))
})

withEach('change', 'no change returns', async (t, { keys }, distort) => {
  const { key } = await create(keys)
  distort()
  await t.rejects(revoke(keys, key.id), { code: 'unavailable' })
})

withEach('read', 'no key is called unknown, and none is accepted', async (t, { keys }, distort) => {
  const { token } = await create(keys)
  distort()
  await t.rejects(verify(keys, token), { code: 'unavailable' })
})
