import { localhostHostValidation, localhostOriginValidation } from '@modelcontextprotocol/fastify'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { createMcpHandler } from '@modelcontextprotocol/server'
import Fastify from 'fastify'
import { apiKeys } from 'navis-keys'
import { notesServer, readingTools } from './notes.js'

const { DATABASE_URL, REDIS_URL, HOST = '127.0.0.1', PORT = '3000' } = process.env

const app = Fastify({ logger: true })

// A page in a browser must not reach a server on this machine. Elsewhere: hostHeaderValidation(['mcp.example.com']).
app.addHook('onRequest', localhostHostValidation())
app.addHook('onRequest', localhostOriginValidation())

await app.register(apiKeys, { databaseUrl: DATABASE_URL, redisUrl: REDIS_URL })
const requireRead = app.requireScope('mcp:read')
const requireWrite = app.requireScope('mcp:write')

// Serves the protocol of 2026-07-28 and those before it. Subscriptions are off: an open one would outlive its key.
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
    // Whose key it is goes on to the tools; the token itself does not.
    request.raw.auth = { token: '', clientId: id, scopes: [scope], extra: { workspaceId } }
    reply.hijack()
    await mcp(request.raw, reply.raw, request.body)
  },
  onSend: refusalAsJsonRpc
})

// Every message of a batch counts, and a tool that nobody has declared as reading is taken to write.
function callsOnlyReadingTools (body) {
  return [body].flat().every((message) => message?.method !== 'tools/call' || readingTools.has(message.params?.name))
}

// The plugin refuses in the words of HTTP. An agent that is shown a JSON-RPC error reads in it why, and what to do.
async function refusalAsJsonRpc (request, reply, payload) {
  if (!reply.getHeader('content-type')?.startsWith('application/problem+json')) return payload
  const { detail, code } = JSON.parse(payload)
  reply.type('application/json')
  return JSON.stringify({ jsonrpc: '2.0', id: request.body?.id ?? null, error: { code: -32000, message: detail, data: { code } } })
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => app.close())

await app.listen({ host: HOST, port: Number(PORT) })
