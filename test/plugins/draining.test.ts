import { Readable } from 'node:stream'
import Fastify from 'fastify'
import t from 'tap'
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
