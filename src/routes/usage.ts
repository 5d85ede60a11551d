import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { problemAnswers } from '../plugins/openapi.ts'
import { sendCsv, wantsCsv } from '../http/csv.ts'
import { callColumns, filterText, fromWireTimeRange, keyParams, nextCursorSchema, nullable, pageQuery, placeOf, timeRangeQuery, toWireCall, toWireTime, usageColumns, usageRows, workspaceParams } from '../http/wire.ts'

const day = (description: string) => Type.Optional(Type.String({ format: 'date', description }))
const count = (description: string) => Type.Integer({ minimum: 0, description })

const usageSchema = Type.Object({
  days: Type.Array(Type.Object({
    day: Type.String({ format: 'date', description: 'A day (UTC). Days without any use are omitted.' }),
    accepted: count('Verifications that were accepted.'),
    refused: Type.Record(Type.String(), Type.Integer(), { description: 'Verifications that were refused, by reason.' })
  }), { description: 'Oldest first.' }),
  tools: Type.Array(Type.Object({
    tool: Type.String({ description: 'The name of the tool.' }),
    calls: count('Calls through the gateway, `denied` and `failed` included.'),
    denied: count('Calls that the key was not allowed to make.'),
    failed: count('Calls whose upstream failed.')
  }), { description: 'Tools that the key called through the gateway, the most used first.' }),
  last: Type.Unsafe<{ at: string, address: string | null, client: string | null } | null>({
    type: ['object', 'null'],
    description: 'The last accepted use; null: never used. Address and client belong to that use, or to one within the second before it.',
    required: ['at', 'address', 'client'],
    properties: {
      at: { type: 'string', format: 'date-time', description: 'When.' },
      address: { type: ['string', 'null'], description: 'As much of it as USAGE_ADDRESSES stores; null: not known for this use.' },
      client: { type: ['string', 'null'], description: 'The name that the client gives itself; null: not known for this use.' }
    }
  })
}, { title: 'Usage', description: 'The usage of a key.' })

const callSchema = Type.Object({
  at: Type.String({ format: 'date-time', description: 'When the call was answered.' }),
  key_id: Type.String({ format: 'uuid', description: 'The key that was used.' }),
  upstream: Type.String({ description: 'The name of the MCP server.' }),
  method: Type.String({ description: 'The method of MCP, such as `tools/call`.' }),
  tool: nullable(Type.String({ description: 'The tool; null: the method has none.' })),
  decision: Type.Enum(['passed', 'denied', 'failed'], { description: '`denied`: the key was not allowed to call this. `failed`: the MCP server failed.' }),
  status: Type.Integer({ description: 'The HTTP status of the answer.' }),
  ms: Type.Integer({ description: 'Milliseconds until the answer was complete.' })
}, { title: 'Call' })

/** The use of keys by day, by tool, and for each call. Needs a management token. */
export const usageRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { reports } = app.apiKeys
  app.addHook('onRequest', app.requireManagement)
  app.addHook('onRequest', app.refuseQueryCredentials)

  app.get('/v1/workspaces/:workspace_id/keys/:key_id/usage', {
    schema: {
      tags: ['usage'],
      security: [{ management: [] }],
      operationId: 'getKeyUsage',
      summary: 'Show the usage of a key, by day and by tool, and its last use',
      params: keyParams,
      querystring: Type.Object({
        from: day('The first day (UTC), such as 2027-01-31. At most 400 days before `to`. Default: 29 days before `to`, which makes 30 days.'),
        to: day('The last day (UTC). Default: today.')
      }, { additionalProperties: false }),
      response: { 200: usageSchema, ...problemAnswers(400, 401, 403, 404, 503) }
    }
  }, async function getKeyUsage (request, reply) {
    const { workspace_id: workspaceId, key_id: keyId } = request.params
    const { days, tools, last } = await reports.usage({ workspaceId, keyId, ...request.query })
    if (wantsCsv(request)) return sendCsv(request, reply, { columns: usageColumns, rows: usageRows({ days }) }) as never
    return {
      days: days.map(({ day, accepted, refused }) => ({ day, accepted, refused: { ...refused } })),
      tools: tools.map((tool) => ({ ...tool })),
      last: last && { ...last, at: toWireTime(last.at) }
    }
  })

  app.get('/v1/workspaces/:workspace_id/calls', {
    schema: {
      tags: ['usage'],
      security: [{ management: [] }],
      operationId: 'listCalls',
      summary: 'List the calls of the gateway, newest first: which key called which tool, and the outcome',
      params: workspaceParams,
      querystring: Type.Object({
        key_id: Type.Optional(Type.String({ maxLength: 64, description: 'Only calls with this key.' })),
        tool: filterText('Only calls of this tool.'),
        decision: Type.Optional(Type.Enum(['passed', 'denied', 'failed'], { description: 'Only calls with this outcome.' })),
        ...timeRangeQuery,
        ...pageQuery
      }, { additionalProperties: false }),
      response: {
        200: Type.Object({ calls: Type.Array(callSchema, { description: 'Newest first.' }), next_cursor: nextCursorSchema }, { title: 'CallPage', description: 'A page of calls, without arguments and results.' }),
        ...problemAnswers(400, 401, 403, 503)
      }
    }
  }, async function listCalls (request, reply) {
    const { limit = 50, cursor, key_id: keyId, tool, decision } = request.query
    const filter = { keyId, tool, decision, ...fromWireTimeRange(request.query) }
    const page = await reports.calls({ workspaceId: request.params.workspace_id, ...filter, limit, cursor: placeOf(cursor) })
    const calls = page.calls.map(toWireCall)
    if (wantsCsv(request)) return sendCsv(request, reply, { columns: callColumns, rows: calls, nextCursor: page.nextCursor }) as never
    return { calls, next_cursor: page.nextCursor }
  })
}
