import { fileURLToPath } from 'node:url'
import { eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/postgres-js'
import { migrate } from 'drizzle-orm/postgres-js/migrator'
import Fastify from 'fastify'
import apiKeys from 'navis-keys'
import postgres from 'postgres'
import { audit, keys, sessions } from './schema.ts'

// The plugin works on this client too: only on the primary, and again within a second when the database is back.
const client = postgres(process.env['DATABASE_URL'] ?? '', { target_session_attrs: 'primary', backoff: () => 0.2, connect_timeout: 2, fetch_types: false, prepare: false, onnotice: () => {} })
const db = drizzle(client)
await migrate(db, { migrationsFolder: fileURLToPath(new URL('drizzle', import.meta.url)) })

const app = Fastify({ logger: true })
app.addHook('onClose', async () => { await client.end() })
// The tables of navis-keys are in the schema "navis_keys" of the same database. This call migrates them.
await app.register(apiKeys, { db, redisUrl: process.env['REDIS_URL'] })

/** The session of the person who is signed in, from the application's cookie. */
async function sessionOf (cookie = '') {
  const [, id = ''] = /(?:^|; *)session=([^;]+)/.exec(cookie) ?? []
  const [session] = await db.select().from(sessions).where(eq(sessions.id, id))
  return session
}

// For people: create an API key. Only this answer contains its token.
app.post<{ Body: { name: string } }>('/api-keys', async (request, reply) => {
  const session = await sessionOf(request.headers.cookie)
  if (session === undefined) return await reply.code(401).send({ error: 'Sign in first.' })
  const { workspaceId, person } = session
  const { key, token } = await app.apiKeys.service.create({ workspaceId, actor: person, ownerId: person, name: request.body.name, scope: 'mcp:read' })
  return { id: key.id, token }
})

app.delete<{ Params: { id: string } }>('/api-keys/:id', async (request, reply) => {
  const session = await sessionOf(request.headers.cookie)
  if (session === undefined) return await reply.code(401).send({ error: 'Sign in first.' })
  // When this resolves, no replica accepts the key any more.
  await app.apiKeys.service.revoke({ workspaceId: session.workspaceId, keyId: request.params.id, actor: session.person })
  return await reply.code(204).send()
})

// For programs, with an API key.
app.get('/doors', { onRequest: app.requireScope('mcp:read') }, async ({ apiKey: { workspaceId, name } }) => {
  await db.insert(audit).values({ workspaceId, what: `listed by ${name}` })
  return await db.select({ door: keys.door, holder: keys.holder }).from(keys).where(eq(keys.workspaceId, workspaceId))
})

await app.listen({ port: Number(process.env['PORT'] ?? 3000) })
