import t from 'tap'
import { parseRedisUrl, RedisUrlError } from '../../src/core/redis-url.ts'

t.test('every form of REDIS_URL', async (t) => {
  const rows = [
    { url: 'redis://host', mode: 'single', hosts: [{ host: 'host', port: 6379 }], database: 0, isTls: false },
    { url: 'rediss://:p%40ss@host:1/4', mode: 'single', hosts: [{ host: 'host', port: 1 }], database: 4, isTls: true, password: 'p@ss', username: undefined },
    { url: 'redis://me:secret@[::1]:1/', mode: 'single', hosts: [{ host: '::1', port: 1 }], database: 0, username: 'me', password: 'secret' },
    { url: 'redis+sentinel://h1:26379,h2/mymaster/3', mode: 'sentinel', hosts: [{ host: 'h1', port: 26379 }, { host: 'h2', port: 26379 }], master: 'mymaster', database: 3 },
    { url: 'rediss+sentinel://me:secret@h1/mymaster?sentinel_password=a%20b', mode: 'sentinel', isTls: true, master: 'mymaster', database: 0, sentinelPassword: 'a b', password: 'secret' },
    { url: 'rediss+cluster://h1:6379,h2:6380', mode: 'cluster', hosts: [{ host: 'h1', port: 6379 }, { host: 'h2', port: 6380 }], isTls: true, database: 0 }
  ]
  for (const { url, ...address } of rows) t.match(parseRedisUrl(url), address, url)
})

t.test('what cannot be meant is refused with what to do, and without the secret', async (t) => {
  const rows = [
    { url: 'redis://hush@h1,h2', says: /several hosts/ },
    { url: 'redis+sentinel://x:hush@h1', says: /must name the master/ },
    { url: 'redis+cluster://x:hush@h1/2', says: /only database 0/ },
    { url: 'redis://x:hush@h1/main', says: /must end with a database number/ },
    { url: 'redis://x:hush@h1:99999', says: /host that is not host:port/ },
    { url: 'redis://x:hush@h1?family=hush', says: /unknown parameter: family/ },
    { url: 'redis://x:hu%sh@h1', says: /percent/ },
    { url: 'redis+other://x:hush@h1', says: /must be a URL such as/ },
    { url: 'redis://x:hush/a@h1', says: /must end with a database number/ }
  ]
  for (const { url, says } of rows) {
    t.throws(() => parseRedisUrl(url), RedisUrlError, url)
    try { parseRedisUrl(url) } catch (error) {
      t.match((error as Error).message, says, url)
      t.notMatch((error as Error).message, /hush|hu%sh/, url)
    }
  }
})
