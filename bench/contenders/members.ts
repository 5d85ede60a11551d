import { createServer } from 'node:http'
import { Redis } from 'ioredis'
import { systemClock } from '../../src/core/clock.ts'
import { TrustWindow } from '../../src/core/window/trust-window.ts'
import { connect } from '../../src/db/connect.ts'
import { PostgresWindowStore } from '../../src/db/window-store.ts'
import { RedisAnnouncements } from '../../src/tiers/redis-announcements.ts'
import { setting } from './serve.ts'

/* Members of the trust window in one process: each has its own connections to Postgres and Redis, and does all that a replica does about revocations; none serves anything. */

const redisUrl = process.env['REDIS_URL']
const redis = redisUrl === undefined ? undefined : new Redis(redisUrl, { lazyConnect: true })
const windows = Array.from({ length: Number(setting('MEMBERS')) }, () => new TrustWindow({
  store: new PostgresWindowStore({ connect: () => connect({ url: setting('DATABASE_URL'), max: 1 }) }),
  announcements: redis && new RedisAnnouncements({ redis }),
  clock: systemClock,
  windowMs: 10_000
}))

createServer((_request, response) => {
  const isReady = windows.every((window) => window.isOpen && window.snapshot().hasLineage)
  response.writeHead(isReady ? 200 : 503).end()
}).listen(Number(setting('PORT')), setting('HOST'))

await Promise.all(windows.map(async (window) => { await window.start() }))
