import Fastify from 'fastify'
import { redisKeys } from './redis-keys.ts'
import { answer, serve, setting } from './serve.ts'

const app = Fastify()
const accepts = redisKeys(setting('REDIS_URL'))

app.addHook('onRequest', async function authenticate (request, reply) {
  const { authorization } = request.headers
  if (authorization?.startsWith('Bearer ') !== true || !await accepts(authorization.slice(7))) return await reply.code(401).send()
})

app.get('/', (_request, reply) => { reply.send(answer) })
await serve(app)
