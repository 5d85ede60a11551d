import { Readable } from 'node:stream'
import Fastify from 'fastify'
import t from 'tap'
import { buildOperationsApp } from '../../src/app.ts'
import { readConfig } from '../../src/config/config.ts'
import { management, setupApp } from '../routes/setup.ts'
import { requestEnd } from '../../src/plugins/request-end.ts'
import { draining } from '../../src/plugins/draining.ts'
import { problems } from '../../src/plugins/problems.ts'

t.test('whose time is up is answered 503, unless the answer has begun', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(problems)
  await app.register(requestEnd)
  await app.register(draining)
  const stream = new Readable({ read () {} })
  app.get('/waiting', async () => await new Promise(() => {}))
  app.get('/streaming', async (_request, reply) => await reply.send(stream))
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const waiting = fetch(`${url}/waiting`)
  stream.push('one')
  const streaming = await fetch(`${url}/streaming`)
  await fetch(`${url}/nowhere`)
  app.refuseUnanswered()
  const refused = await waiting
  t.equal(refused.status, 503)
  t.match(await refused.json(), { code: 'unavailable' })
  stream.push(' two')
  stream.push(null)
  t.equal(await streaming.text(), 'one two')
})

t.test('while the service drains, every answer of its second port closes its connection as well', async (t) => {
  const { app, url: databaseUrl } = await setupApp(t)
  const operations = await buildOperationsApp({ app, config: readConfig({ DATABASE_URL: databaseUrl, MANAGEMENT_TOKENS: `ops=${management}` }) })
  t.teardown(() => operations.close())
  const url = await operations.listen({ port: 0, host: '127.0.0.1' })
  const connections = async () => await Promise.all(['/livez', '/readyz', '/metrics', '/nowhere'].map(async (path) => (await fetch(url + path)).headers.get('connection')))
  t.strictSame(await connections(), ['keep-alive', 'keep-alive', 'keep-alive', 'keep-alive'])
  app.drain()
  t.strictSame(await connections(), ['close', 'close', 'close', 'close'])
  t.equal((await fetch(`${url}/readyz`)).status, 503)
})
