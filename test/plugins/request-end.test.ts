import { once } from 'node:events'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { requestEnd } from '../../src/plugins/request-end.ts'
import { until } from '../support/until.ts'

async function setup (t: Test) {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(requestEnd)
  const seen: Array<{ route: string | undefined, status: number | undefined, isAnswered: boolean }> = []
  app.onRequestEnd(({ request, route, elapsedMs, status, isAnswered }) => {
    t.ok(elapsedMs >= 0 && elapsedMs < 60_000)
    t.equal(route, request.routeOptions.url)
    seen.push({ route, status, isAnswered })
  })
  const waiting: Array<() => void> = []
  app.get('/at-once', async () => 'yes')
  app.get('/broken', async () => { throw new Error('no') })
  app.get('/late', async () => await new Promise((resolve) => { waiting.push(() => { resolve('yes') }) }))
  app.get('/stream', async (_request, reply) => {
    const stream = new Readable({ read () {} })
    stream.push('one')
    return await reply.code(206).send(stream)
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, seen, url, port: Number(new URL(url).port), answerAll: () => { for (const answer of waiting.splice(0)) answer() } }
}

t.test('every request is told of once: answered, refused, failed, and of no route at all', async (t) => {
  const { app, seen, url } = await setup(t)
  for (const path of ['/at-once', '/broken', '/nowhere', '/at-once']) await (await fetch(url + path)).text()
  await until(() => seen.length === 4)
  t.same(seen, [
    { route: '/at-once', status: 200, isAnswered: true },
    { route: '/broken', status: 500, isAnswered: true },
    { route: undefined, status: 404, isAnswered: true },
    { route: '/at-once', status: 200, isAnswered: true }
  ])
  t.same(app.openReplies(), [])
})

t.test('a client that goes away before its answer is told of, once, and nothing is held of it', async (t) => {
  const { app, seen, port, answerAll } = await setup(t)
  const socket = connect(port, '127.0.0.1')
  socket.write('GET /late HTTP/1.1\r\nhost: here\r\n\r\n')
  await until(() => app.openReplies().length === 1)
  socket.destroy()
  await until(() => seen.length === 1)
  t.same(seen, [{ route: '/late', status: undefined, isAnswered: false }])
  t.same(app.openReplies(), [])
  answerAll()
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(seen.length, 1)
})

t.test('a stream that its client ends is told of with the status that the client has seen', async (t) => {
  const { app, seen, port } = await setup(t)
  const socket = connect(port, '127.0.0.1')
  socket.write('GET /stream HTTP/1.1\r\nhost: here\r\n\r\n')
  await once(socket, 'data')
  socket.destroy()
  await until(() => seen.length === 1)
  t.same(seen, [{ route: '/stream', status: 206, isAnswered: false }])
  t.same(app.openReplies(), [])
})

t.test('requests that one connection sends without waiting are told apart', async (t) => {
  const { app, seen, port, answerAll } = await setup(t)
  const socket = connect(port, '127.0.0.1')
  socket.write('GET /late HTTP/1.1\r\nhost: here\r\n\r\nGET /late HTTP/1.1\r\nhost: here\r\n\r\nGET /at-once HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n')
  await until(() => app.openReplies().length === 3)
  answerAll()
  socket.resume()
  await once(socket, 'close')
  await until(() => seen.length === 3)
  t.same(seen.map(({ isAnswered }) => isAnswered), [true, true, true])
  t.same(app.openReplies(), [])
})

t.test('applications in one process see only their own, and one that was closed none', async (t) => {
  const [one, other] = [await setup(t), await setup(t)]
  await (await fetch(`${one.url}/at-once`)).text()
  await until(() => one.seen.length === 1)
  await one.app.close()
  await (await fetch(`${other.url}/at-once`)).text()
  await until(() => other.seen.length === 1)
  t.equal(one.seen.length, 1)
})

t.test('a request that came through no socket is told of too', async (t) => {
  const { app, seen } = await setup(t)
  await app.inject('/at-once')
  t.same(seen, [{ route: '/at-once', status: 200, isAnswered: true }])
})
