import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { rules } from '../core/key-rules.ts'
import { problemAnswers } from '../plugins/openapi.ts'
import { fromWireTime, keyParams, keySchema, metadataSchema, pageQuery, scopeSchema, toWireKey, workspaceParams } from '../http/wire.ts'

const tags = ['keys']
const security = [{ management: [] }]
const expiresAt = Type.Union([Type.String({ format: 'date-time' }), Type.Null()], { description: 'In the future; null: never.' })
const reasonBody = Type.Union([
  Type.Object({ reason: Type.Optional(Type.String({ pattern: rules.reason.pattern })) }, { additionalProperties: false }),
  Type.Null(),
  Type.Undefined()
])
const strict = { additionalProperties: false }

/** Makes, shows and ends keys; for holders of a management token. */
export const keyRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { service } = app.apiKeys
  app.addHook('onRequest', app.requireManagement)
  app.addHook('onRequest', app.refuseQueryCredentials)
  app.addHook('preValidation', app.refuseStoredSecrets)

  app.post('/v1/workspaces/:workspace_id/keys', {
    schema: {
      tags,
      security,
      operationId: 'createKey',
      summary: 'Make a key; the answer has its token, once',
      params: workspaceParams,
      headers: Type.Object({ 'idempotency-key': Type.Optional(Type.String({ minLength: 1, maxLength: 255, description: 'The same one with the same body makes one key within 24 hours.' })) }),
      body: Type.Object({
        name: Type.String({ pattern: rules.name.pattern, minLength: 1, maxLength: 100 }),
        scope: scopeSchema,
        expires_at: Type.Optional(expiresAt),
        owner_id: Type.Optional(Type.Union([Type.String({ pattern: rules.id.pattern }), Type.Null()])),
        metadata: Type.Optional(metadataSchema)
      }, strict),
      response: {
        201: Type.Object({ ...keySchema.properties, token: Type.String({ description: 'Shown here and never again.' }) }, { title: 'CreatedKey', description: 'The key was made.' }),
        ...problemAnswers(400, 401, 403, 409, 413, 415, 422, 503)
      }
    }
  }, async function createKey (request, reply) {
    const { name, scope, expires_at: expires, owner_id: ownerId, metadata } = request.body
    const { key, token } = await service.create({
      workspaceId: request.params.workspace_id,
      actor: request.actor,
      name,
      scope,
      expiresAt: fromWireTime(expires),
      ownerId,
      metadata,
      idempotencyKey: request.headers['idempotency-key']
    })
    reply.code(201).header('location', `/v1/workspaces/${encodeURIComponent(key.workspaceId)}/keys/${key.id}`).header('cache-control', 'no-store')
    return { ...toWireKey(key), token }
  })

  app.get('/v1/workspaces/:workspace_id/keys', {
    schema: {
      tags,
      security,
      operationId: 'listKeys',
      summary: 'List keys, newest first',
      params: workspaceParams,
      querystring: Type.Object({
        status: Type.Optional(Type.Enum(['active', 'expired', 'revoked', 'all'], { default: 'active' })),
        ...pageQuery
      }, strict),
      response: {
        200: Type.Object({ keys: Type.Array(keySchema), next_cursor: Type.Union([Type.String(), Type.Null()]) }, { title: 'KeyPage', description: 'A page of keys; `next_cursor` is null on the last one.' }),
        ...problemAnswers(400, 401, 403, 503)
      }
    }
  }, async function listKeys (request) {
    const { status = 'active', limit = 50, cursor } = request.query
    const { keys, nextCursor } = await service.list({ workspaceId: request.params.workspace_id, status, limit, cursor })
    return { keys: keys.map(toWireKey), next_cursor: nextCursor }
  })

  app.get('/v1/workspaces/:workspace_id/keys/:key_id', {
    schema: {
      tags,
      security,
      operationId: 'getKey',
      summary: 'Show a key',
      params: keyParams,
      querystring: Type.Object({}, strict),
      response: { 200: Type.Object(keySchema.properties, { title: 'Key', description: 'The key.' }), ...problemAnswers(400, 401, 403, 404, 503) }
    }
  }, async function getKey (request) {
    const { workspace_id: workspaceId, key_id: keyId } = request.params
    return toWireKey(await service.get({ workspaceId, keyId }))
  })

  app.patch('/v1/workspaces/:workspace_id/keys/:key_id', {
    schema: {
      tags,
      security,
      operationId: 'updateKey',
      summary: 'Rename a key or move its expiry; an earlier one is in force everywhere when this returns',
      params: keyParams,
      querystring: Type.Object({}, strict),
      body: Type.Object({
        name: Type.Optional(Type.String({ pattern: rules.name.pattern, minLength: 1, maxLength: 100 })),
        expires_at: Type.Optional(expiresAt)
      }, { ...strict, minProperties: 1 }),
      response: { 200: Type.Object(keySchema.properties, { title: 'Key', description: 'The key as it is now.' }), ...problemAnswers(400, 401, 403, 404, 409, 413, 415, 503) }
    }
  }, async function updateKey (request) {
    const { workspace_id: workspaceId, key_id: keyId } = request.params
    const { name, expires_at: expires } = request.body
    return toWireKey(await service.update({ workspaceId, keyId, actor: request.actor, name, expiresAt: fromWireTime(expires) }))
  })

  app.delete('/v1/workspaces/:workspace_id/keys/:key_id', {
    config: { bodyMayBeLeftOut: true },
    schema: {
      tags,
      security,
      operationId: 'revokeKey',
      summary: 'Revoke a key; when this returns, every replica refuses it',
      params: keyParams,
      querystring: Type.Object({}, strict),
      body: reasonBody,
      response: { 204: Type.Null({ description: 'Revoked, now or before.' }), ...problemAnswers(400, 401, 403, 404, 413, 415, 503) }
    }
  }, async function revokeKey (request, reply) {
    const { workspace_id: workspaceId, key_id: keyId } = request.params
    await service.revoke({ workspaceId, keyId, actor: request.actor, reason: request.body?.reason })
    reply.code(204)
    return null
  })

  app.post('/v1/workspaces/:workspace_id/keys/revoke-all', {
    config: { bodyMayBeLeftOut: true },
    schema: {
      tags,
      security,
      operationId: 'revokeWorkspace',
      summary: 'Revoke every key of a workspace; when this returns, every replica refuses them',
      params: workspaceParams,
      querystring: Type.Object({}, strict),
      body: reasonBody,
      response: { 200: Type.Object({ revoked: Type.Integer() }, { title: 'RevokedKeys', description: 'How many keys this call revoked.' }), ...problemAnswers(400, 401, 403, 413, 415, 503) }
    }
  }, async function revokeWorkspace (request) {
    return await service.revokeWorkspace({ workspaceId: request.params.workspace_id, actor: request.actor, reason: request.body?.reason })
  })
}
