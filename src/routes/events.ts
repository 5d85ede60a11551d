import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { eventTypes } from '../core/events.ts'
import { problemAnswers } from '../plugins/openapi.ts'
import { keySchema, nullable, toWireKey, toWireTime } from '../http/wire.ts'

const eventSchema = Type.Object({
  id: Type.String({ format: 'uuid', description: 'The same one however often the event is told.' }),
  type: Type.Enum([...eventTypes]),
  timestamp: Type.String({ format: 'date-time', description: 'When it happened.' }),
  data: Type.Object({
    key_id: Type.String({ format: 'uuid' }),
    key: Type.Object(keySchema.properties, { description: 'As it was when it happened.' }),
    days: Type.Optional(Type.Integer({ description: 'Of `key.expiring`: within how many days, 7 or 1.' }))
  })
})

/** What happened to keys, in order; for holders of a management token. */
export const eventRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { events } = app.apiKeys
  app.addHook('onRequest', app.requireManagement)
  app.addHook('onRequest', app.refuseQueryCredentials)

  app.get('/v1/events', {
    schema: {
      tags: ['events'],
      security: [{ management: [] }],
      operationId: 'listEvents',
      summary: 'What happened to keys, oldest first',
      querystring: Type.Object({
        after: Type.Optional(Type.String({ maxLength: 64, description: '`next_after` of the answer before: only events that come after it. Left out: from the oldest on.' })),
        limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'Events at most.' }))
      }, { additionalProperties: false }),
      response: {
        200: Type.Object({ events: Type.Array(eventSchema), next_after: nullable(Type.String({ description: 'null: there are no events so far.' })) }, { title: 'EventPage', description: 'Events in order, and where to go on.' }),
        ...problemAnswers(400, 401, 403, 503)
      }
    }
  }, async function listEvents (request) {
    const { after, limit = 100 } = request.query
    const page = await events.list({ after, limit })
    return {
      events: page.events.map(({ id, type, at, keyId, key, days }) =>
        ({ id, type, timestamp: toWireTime(at), data: { key_id: keyId, key: toWireKey(key), ...days === undefined ? {} : { days } } })),
      next_after: page.nextAfter
    }
  })
}
