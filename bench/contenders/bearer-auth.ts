import bearerAuth from '@fastify/bearer-auth'
import Fastify from 'fastify'
import { postgresKeys } from './postgres-keys.ts'
import { redisKeys } from './redis-keys.ts'
import { answer, serve, setting } from './serve.ts'

const app = Fastify()
const auth = setting('KEYS') === 'redis' ? redisKeys(setting('REDIS_URL')) : postgresKeys(setting('DATABASE_URL'))

await app.register(bearerAuth, { keys: new Set<string>(), auth })

app.get('/', (_request, reply) => { reply.send(answer) })
await serve(app)
