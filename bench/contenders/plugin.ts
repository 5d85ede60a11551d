import Fastify from 'fastify'
import { apiKeys } from 'navis-keys'
import { answer, serve, setting } from './serve.ts'

const app = Fastify({ trustProxy: process.env['TRUST_PROXY'] === '1' })

await app.register(apiKeys, {
  databaseUrl: setting('DATABASE_URL'),
  redisUrl: process.env['REDIS_URL'],
  memoryEntriesMax: Number(process.env['MEMORY_ENTRIES_MAX'] ?? 100_000),
  cache: process.env['CACHE'] !== 'off'
})

// What a verification costs where uses are not noted at all, for comparison.
if (process.env['USAGE'] === 'off') app.apiKeys.usage.note = () => undefined

app.get('/', { onRequest: app.requireScope('mcp:read') }, (_request, reply) => { reply.send(answer) })
app.get('/stats', (_request, reply) => { reply.send({ ...app.apiKeys.stats(), hasLineage: app.apiKeys.window.snapshot().hasLineage }) })
await serve(app)
