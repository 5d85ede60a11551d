import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { problemAnswers } from '../plugins/openapi.ts'
import { sendCsv, wantsCsv } from '../http/csv.ts'
import { auditColumns, filterText, fromWireTimeRange, nextCursorSchema, nullableInteger, nullableObject, nullableTexts, pageQuery, placeOf, rateLimitSchema, timeRangeQuery, toWireAuditEntry, workspaceParams } from '../http/wire.ts'

const details = Type.Object({
  name: Type.Optional(Type.String({ description: 'The name of the key.' })),
  scope: Type.Optional(Type.String({ description: 'The scope of the key.' })),
  expires_at: Type.Optional(Type.Union([Type.String(), Type.Null()], { description: 'The new expiry; null: never.' })),
  reason: Type.Optional(Type.Union([Type.String(), Type.Null()], { description: 'Why the key was revoked; null: no reason was given.' })),
  revoked: Type.Optional(Type.Integer({ description: 'How many keys.' })),
  shortened: Type.Optional(Type.Integer({ description: 'How many keys.' })),
  imported: Type.Optional(Type.Integer({ description: 'How many keys.' })),
  erased: Type.Optional(Type.Integer({ description: 'How many keys.' })),
  owner_id: Type.Optional(Type.String({ description: 'Whose keys.' })),
  allowed_cidrs: Type.Optional(nullableTexts('null: every address.')),
  rate_limit: Type.Optional(nullableObject(rateLimitSchema, 'null: no limit.')),
  grace_seconds: Type.Optional(Type.Integer({ description: 'How long the previous token works.' })),
  grace_starts: Type.Optional(Type.String({ description: 'Counted from `now` or from the `first_use` of the new token.' })),
  max_lifetime_days: Type.Optional(nullableInteger('null: no rule.')),
  default_lifetime_days: Type.Optional(nullableInteger('null: no rule.')),
  unused_days: Type.Optional(nullableInteger('null: no rule.')),
  url: Type.Optional(Type.String({ description: 'Where the leaked token was found.' })),
  source: Type.Optional(Type.String({ description: 'Who found the token.' })),
  part_of: Type.Optional(Type.String({ description: 'The change of many keys of which this was one: `owner.revoked`, `workspace.revoked` or `policy.applied`. It has an entry of its own, without a key.' }))
}, { description: 'What was changed; which fields it has depends on `action`.' })

const entrySchema = Type.Object({
  id: Type.String({ format: 'uuid', description: 'The id of the entry.' }),
  workspace_id: Type.String({ description: 'The workspace of the key.' }),
  key_id: Type.Union([Type.String({ format: 'uuid' }), Type.Null()], { description: 'null: the entry is about several keys, or the whole workspace. Each key of them that was changed has an entry too.' }),
  action: Type.String({ description: '`key.created`, `key.changed`, `key.rotated`, `key.revoked`, `key.revoked_again`, `key.leaked`, `key.token_ended`, `key.imported`, `owner.revoked`, `owner.erased`, `workspace.revoked`, `policy.changed` or `policy.applied`.' }),
  actor: Type.String({ description: 'Who made the change: the name of a management token, a person (`user:` and the owner id), `cli`, `policy` or `token`.' }),
  at: Type.String({ format: 'date-time', description: 'When the change was made.' }),
  details
}, { title: 'AuditEntry' })

/** The audit trail. Needs a management token. */
export const auditRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { service } = app.apiKeys
  app.addHook('onRequest', app.requireManagement)
  app.addHook('onRequest', app.refuseQueryCredentials)

  app.get('/v1/workspaces/:workspace_id/audit', {
    schema: {
      tags: ['audit'],
      security: [{ management: [] }],
      operationId: 'listAudit',
      summary: 'List the audit trail: who changed which key, how and when, newest first',
      params: workspaceParams,
      querystring: Type.Object({
        key_id: Type.Optional(Type.String({ maxLength: 64, description: 'Only changes of this key.' })),
        actor: filterText('Only changes by this actor.'),
        ...timeRangeQuery,
        ...pageQuery
      }, { additionalProperties: false }),
      response: {
        200: Type.Object({ entries: Type.Array(entrySchema, { description: 'Newest first.' }), next_cursor: nextCursorSchema }, { title: 'AuditPage', description: 'A page of the audit trail.' }),
        ...problemAnswers(400, 401, 403, 503)
      }
    }
  }, async function listAudit (request, reply) {
    const { limit = 50, cursor, key_id: keyId, actor } = request.query
    const filter = { keyId, actor, ...fromWireTimeRange(request.query) }
    const page = await service.audit({ workspaceId: request.params.workspace_id, ...filter, limit, cursor: placeOf(cursor) })
    const entries = page.entries.map(toWireAuditEntry)
    if (wantsCsv(request)) return sendCsv(request, reply, { columns: auditColumns, rows: entries, nextCursor: page.nextCursor }) as never
    return { entries, next_cursor: page.nextCursor }
  })
}
