import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { problemAnswers } from '../plugins/openapi.ts'
import { eventSchema, nullable, placeOf, toWireEvent } from '../http/wire.ts'

/** The events of keys, in order. Needs a management token. */
export const eventRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { events } = app.apiKeys
  app.addHook('onRequest', app.requireManagement)
  app.addHook('onRequest', app.refuseQueryCredentials)

  app.get('/v1/events', {
    schema: {
      tags: ['events'],
      security: [{ management: [] }],
      operationId: 'listEvents',
      summary: 'List the events of keys, oldest first',
      querystring: Type.Object({
        after: Type.Optional(Type.String({ maxLength: 64, description: '`next_after` of the previous answer: only later events are returned. Omitted or empty: start with the oldest event.' })),
        limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'Maximum number of events.' }))
      }, { additionalProperties: false }),
      response: {
        200: Type.Object({ events: Type.Array(eventSchema, { description: 'Oldest first.' }), next_after: nullable(Type.String({ description: 'null: there are no events yet.' })) }, { title: 'EventPage', description: 'Events in order, and the position for the next call.' }),
        ...problemAnswers(400, 401, 403, 503)
      }
    }
  }, async function listEvents (request) {
    const { after, limit = 100 } = request.query
    const page = await events.list({ after: placeOf(after), limit })
    return { events: page.events.map(toWireEvent), next_after: page.nextAfter }
  })
}
