import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { problemAnswers } from '../plugins/openapi.ts'
import { pageQuery, toWireTime, workspaceParams } from '../http/wire.ts'

const details = Type.Object({
  name: Type.Optional(Type.String()),
  scope: Type.Optional(Type.String()),
  expires_at: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  reason: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  revoked: Type.Optional(Type.Integer({ description: 'How many keys.' }))
})

const entrySchema = Type.Object({
  id: Type.String({ format: 'uuid' }),
  workspace_id: Type.String(),
  key_id: Type.Union([Type.String({ format: 'uuid' }), Type.Null()], { description: 'null: the whole workspace.' }),
  action: Type.String({ description: '`key.created`, `key.changed`, `key.revoked`, `key.revoked_again` or `workspace.revoked`.' }),
  actor: Type.String({ description: 'Name of the management token.' }),
  at: Type.String({ format: 'date-time' }),
  details
})

/** Who did what to which key when; for holders of a management token. */
export const auditRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { service } = app.apiKeys
  app.addHook('onRequest', app.requireManagement)
  app.addHook('onRequest', app.refuseQueryCredentials)

  app.get('/v1/workspaces/:workspace_id/audit', {
    schema: {
      tags: ['audit'],
      security: [{ management: [] }],
      operationId: 'listAudit',
      summary: 'Who did what to which key when, newest first',
      params: workspaceParams,
      querystring: Type.Object(pageQuery, { additionalProperties: false }),
      response: {
        200: Type.Object({ entries: Type.Array(entrySchema), next_cursor: Type.Union([Type.String(), Type.Null()]) }, { title: 'AuditPage', description: 'A page of the audit trail.' }),
        ...problemAnswers(400, 401, 403, 503)
      }
    }
  }, async function listAudit (request) {
    const { limit = 50, cursor } = request.query
    const { entries, nextCursor } = await service.audit({ workspaceId: request.params.workspace_id, limit, cursor })
    return {
      entries: entries.map(({ id, workspaceId, keyId, action, actor, at, details }) =>
        ({ id, workspace_id: workspaceId, key_id: keyId, action, actor, at: toWireTime(at), details })),
      next_cursor: nextCursor
    }
  })
}
