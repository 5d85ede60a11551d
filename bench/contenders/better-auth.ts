import Fastify from 'fastify'
import { openBetterAuth } from './better-auth-keys.ts'
import { answer, serve, setting } from './serve.ts'

const app = Fastify()
const { auth } = openBetterAuth({ databaseUrl: setting('DATABASE_URL'), redisUrl: process.env['REDIS_URL'] })

app.addHook('onRequest', async function authenticate (request, reply) {
  const key = request.headers['x-api-key']
  if (typeof key !== 'string' || !(await auth.api.verifyApiKey({ body: { key } })).valid) return await reply.code(401).send()
})

app.get('/', (_request, reply) => { reply.send(answer) })
await serve(app)
