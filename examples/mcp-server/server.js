import { localhostHostValidation, localhostOriginValidation } from '@modelcontextprotocol/fastify'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { createMcpHandler } from '@modelcontextprotocol/server'
import Fastify from 'fastify'
import { apiKeys } from 'navis-keys'
import { notesServer, readingTools } from './notes.js'

const { DATABASE_URL, REDIS_URL, HOST = '127.0.0.1', PORT = '3000' } = process.env

const app = Fastify({ logger: true })

// Web pages in a browser on this machine must not reach the server (DNS rebinding). With a public name: hostHeaderValidation(['mcp.example.com']).
app.addHook('onRequest', localhostHostValidation())
app.addHook('onRequest', localhostOriginValidation())

await app.register(apiKeys, { databaseUrl: DATABASE_URL, redisUrl: REDIS_URL })
const requireRead = app.requireScope('mcp:read')
const requireWrite = app.requireScope('mcp:write')

// Serves protocol 2026-07-28 and earlier. Subscriptions are off: an open one would go on after its key is revoked.
const mcp = toNodeHandler(createMcpHandler(
  ({ authInfo }) => notesServer(authInfo.extra.workspaceId),
  { maxSubscriptions: 0 }
))

app.route({
  method: ['GET', 'POST', 'DELETE'],
  url: '/mcp',
  onRequest: requireRead,
  preHandler (request, reply, done) {
    if (callsOnlyReadingTools(request.body)) done()
    else requireWrite(request, reply, done)
  },
  async handler (request, reply) {
    const { id, workspaceId, scope } = request.apiKey
    // The tools get the key record, not the token.
    request.raw.auth = { token: '', clientId: id, scopes: [scope], extra: { workspaceId } }
    reply.hijack()
    await mcp(request.raw, reply.raw, request.body)
  },
  onSend: refusalAsJsonRpc
})

// Checks every message of a batch. A tool that is not in `readingTools` counts as writing.
function callsOnlyReadingTools (body) {
  return [body].flat().every((message) => message?.method !== 'tools/call' || readingTools.has(message.params?.name))
}

// The plugin refuses with a problem document. Clients show agents the text of a JSON-RPC error, so it says why and what to do.
async function refusalAsJsonRpc (request, reply, payload) {
  if (!reply.getHeader('content-type')?.startsWith('application/problem+json')) return payload
  const { detail, code } = JSON.parse(payload)
  reply.type('application/json')
  return JSON.stringify({ jsonrpc: '2.0', id: request.body?.id ?? null, error: { code: -32000, message: detail, data: { code } } })
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => app.close())

await app.listen({ host: HOST, port: Number(PORT) })
