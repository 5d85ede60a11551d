import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { KeysError } from '../core/errors.ts'
import { digestFromText } from '../core/key-record.ts'
import { rules } from '../core/key-rules.ts'
import { isRepeated } from '../http/repeated-header.ts'
import { problemAnswers } from '../plugins/openapi.ts'
import { fromWireRateLimit, fromWireTime, keyParams, keySchema, metadataSchema, nextCursorSchema, pageQuery, placeOf, rateLimitSchema, scopeSchema, toWireKey, workspaceParams } from '../http/wire.ts'

const tags = ['keys']
const security = [{ management: [] }]
const expiresAt = Type.Union([Type.String({ format: 'date-time' }), Type.Null()], { description: 'Must be in the future; null: never.' })
const name = Type.String({ pattern: rules.name.pattern, minLength: 1, maxLength: 100, description: 'What people call the key.' })
const ownerId = Type.Union([Type.String({ pattern: rules.ownerId.pattern }), Type.Null()], { description: 'The person or service that owns the key: an id of your application. null: no owner.' })
const reason = Type.String({ pattern: rules.reason.pattern, description: 'Why, for the audit trail.' })
const reasonBody = Type.Union([
  Type.Object({ reason: Type.Optional(reason) }, { additionalProperties: false }),
  Type.Null(),
  Type.Undefined()
])
const strict = { additionalProperties: false }
const revokeAllBody = Type.Union([
  Type.Object({
    owner_id: Type.Optional(Type.String({ pattern: rules.ownerId.pattern, description: 'Only the keys of this owner.' })),
    reason: Type.Optional(reason)
  }, strict),
  Type.Null(),
  Type.Undefined()
])
const allowedCidrs = Type.Union([Type.Array(Type.String()), Type.Null()], { description: `Addresses and CIDR ranges, 1 to ${rules.cidrsMax}, without bits beyond the prefix; null: every address.` })
const rateLimit = Type.Union([rateLimitSchema, Type.Null()], { description: 'null: no limit.' })
const importBytesMax = 1024 * 1024
const importedKey = Type.Object({
  token_sha256: Type.String({ pattern: rules.digest.pattern, description: 'SHA-256 of the whole token, in hexadecimal or base64.' }),
  name,
  scope: scopeSchema,
  hint: Type.Optional(Type.String({ pattern: rules.hint.pattern, description: 'The first four characters of the token after its prefix, … and the last four.' })),
  owner_id: Type.Optional(ownerId),
  expires_at: Type.Optional(expiresAt),
  created_at: Type.Optional(Type.String({ format: 'date-time', description: 'When the other system created the key. The maximum lifetime of the policy counts from this time.' })),
  metadata: Type.Optional(metadataSchema)
}, strict)
const idempotencyHeader = (description: string) => Type.Object({ 'idempotency-key': Type.Optional(Type.String({ minLength: 1, maxLength: 255, description })) })
const createdKey = (title: string, description: string) => Type.Object({ ...keySchema.properties, token: Type.String({ description: 'Shown only in this answer.' }) }, { title, description })

/** Creates, shows, changes and revokes keys. Needs a management token. */
export const keyRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { service, imports } = app.apiKeys
  app.addHook('onRequest', app.requireManagement)
  app.addHook('onRequest', app.refuseQueryCredentials)
  // Node joins the values of two headers: the request would not be found again by either of them.
  app.addHook('onRequest', ({ raw }, _reply, done) => {
    done(isRepeated('idempotency-key', raw.rawHeaders) ? new KeysError('invalid_request', { detail: 'There is more than one Idempotency-Key header. Send one.' }) : undefined)
  })
  app.addHook('preValidation', app.refuseStoredSecrets)

  app.post('/v1/workspaces/:workspace_id/keys', {
    schema: {
      tags,
      security,
      operationId: 'createKey',
      summary: 'Create a key; only this answer contains its token',
      params: workspaceParams,
      querystring: Type.Object({}, strict),
      headers: idempotencyHeader('Within 24 hours, the same value with the same body creates one key.'),
      body: Type.Object({
        name,
        scope: scopeSchema,
        expires_at: Type.Optional(expiresAt),
        owner_id: Type.Optional(ownerId),
        metadata: Type.Optional(metadataSchema),
        allowed_cidrs: Type.Optional(allowedCidrs),
        rate_limit: Type.Optional(rateLimit)
      }, strict),
      response: {
        201: createdKey('CreatedKey', 'The key was created.'),
        ...problemAnswers(400, 401, 403, 409, 413, 415, 422, 503)
      }
    }
  }, async function createKey (request, reply) {
    const { name, scope, expires_at: expires, owner_id: ownerId, metadata, allowed_cidrs: cidrs, rate_limit: limit } = request.body
    const { key, token } = await service.create({
      workspaceId: request.params.workspace_id,
      actor: request.actor,
      name,
      scope,
      expiresAt: fromWireTime(expires),
      ownerId,
      metadata,
      allowedCidrs: cidrs,
      rateLimit: fromWireRateLimit(limit),
      idempotencyKey: request.headers['idempotency-key']
    })
    reply.code(201).header('location', `/v1/workspaces/${encodeURIComponent(key.workspaceId)}/keys/${key.id}`).header('cache-control', 'no-store')
    return { ...toWireKey(key), token }
  })

  app.post('/v1/workspaces/:workspace_id/keys/import', {
    bodyLimit: importBytesMax,
    schema: {
      tags,
      security,
      operationId: 'importKeys',
      summary: 'Import keys of another system by the SHA-256 of their tokens, all of them or none',
      params: workspaceParams,
      querystring: Type.Object({}, strict),
      body: Type.Object({ keys: Type.Array(importedKey, { minItems: 1, maxItems: rules.importKeysMax, description: 'All of them are imported, or none.' }) }, strict),
      response: {
        201: Type.Object({
          imported: Type.Integer({ description: 'Number of keys that were imported.' }),
          already_there: Type.Integer({ description: 'Number of tokens that the workspace already had. Their keys are not changed.' })
        }, { title: 'ImportedKeys', description: 'The tokens work from now on.' }),
        ...problemAnswers(400, 401, 403, 409, 413, 415, 503)
      }
    }
  }, async function importKeys (request, reply) {
    const keys = request.body.keys.map(({ token_sha256: digest, name, scope, hint, owner_id: ownerId, expires_at: expires, created_at: created, metadata }, place) => ({
      digest: digestFromText(digest),
      name,
      scope,
      hint,
      ownerId,
      expiresAt: fromWireTime(expires, `/keys/${place}/expires_at`),
      createdAt: fromWireTime(created, `/keys/${place}/created_at`),
      metadata
    }))
    const { imported, alreadyThere } = await imports.import({ workspaceId: request.params.workspace_id, actor: request.actor, keys })
    reply.code(201)
    return { imported, already_there: alreadyThere }
  })

  app.get('/v1/workspaces/:workspace_id/keys', {
    schema: {
      tags,
      security,
      operationId: 'listKeys',
      summary: 'List keys, newest first',
      params: workspaceParams,
      querystring: Type.Object({
        status: Type.Optional(Type.Enum(['active', 'expired', 'revoked', 'all'], { default: 'active', description: 'Only keys with this status.' })),
        owner_id: Type.Optional(Type.String({ pattern: rules.ownerId.pattern, description: 'Only keys of this owner.' })),
        scope: Type.Optional(scopeSchema),
        q: Type.Optional(Type.String({ minLength: 1, maxLength: 100, pattern: rules.text.pattern, description: 'A part of the name, case-insensitive.' })),
        unused_days: Type.Optional(Type.Integer({ minimum: 1, maximum: 36_500, description: 'Only keys that were not used for this many days, counted from the last use or, if never used, from the creation.' })),
        expires_within_days: Type.Optional(Type.Integer({ minimum: 1, maximum: 36_500, description: 'Only active keys that expire within this many days.' })),
        ...pageQuery
      }, strict),
      response: {
        200: Type.Object({ keys: Type.Array(keySchema, { description: 'Newest first.' }), next_cursor: nextCursorSchema }, { title: 'KeyPage', description: 'A page of keys; `next_cursor` is null on the last one.' }),
        ...problemAnswers(400, 401, 403, 503)
      }
    }
  }, async function listKeys (request) {
    const { status = 'active', limit = 50, cursor, owner_id: ownerId, scope, q, unused_days: unusedDays, expires_within_days: expiresWithinDays } = request.query
    const filter = { status, ownerId, scope, q, unusedDays, expiresWithinDays }
    const { keys, nextCursor } = await service.list({ workspaceId: request.params.workspace_id, ...filter, limit, cursor: placeOf(cursor) })
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
      summary: 'Change the name, expiry, addresses or rate limit of a key; every restriction is in force on every replica when this returns',
      params: keyParams,
      querystring: Type.Object({}, strict),
      body: Type.Object({
        name: Type.Optional(name),
        expires_at: Type.Optional(expiresAt),
        allowed_cidrs: Type.Optional(allowedCidrs),
        rate_limit: Type.Optional(rateLimit)
      }, { ...strict, minProperties: 1 }),
      response: { 200: Type.Object(keySchema.properties, { title: 'Key', description: 'The key after the change.' }), ...problemAnswers(400, 401, 403, 404, 409, 413, 415, 503) }
    }
  }, async function updateKey (request) {
    const { workspace_id: workspaceId, key_id: keyId } = request.params
    const { name, expires_at: expires, allowed_cidrs: cidrs, rate_limit: limit } = request.body
    return toWireKey(await service.update({ workspaceId, keyId, actor: request.actor, name, expiresAt: fromWireTime(expires), allowedCidrs: cidrs, rateLimit: fromWireRateLimit(limit) }))
  })

  app.post('/v1/workspaces/:workspace_id/keys/:key_id/rotate', {
    config: { bodyMayBeLeftOut: true },
    schema: {
      tags,
      security,
      operationId: 'rotateKey',
      summary: 'Give a key a new token; only this answer contains it. The previous token ends now, or after its grace period',
      params: keyParams,
      querystring: Type.Object({}, strict),
      headers: idempotencyHeader('Within 24 hours, the same value with the same body rotates the key once.'),
      body: Type.Union([
        Type.Object({
          grace_seconds: Type.Optional(Type.Integer({ minimum: 0, maximum: rules.graceSecondsMax, default: 0, description: 'How long the previous token still works. It never works longer than the key.' })),
          grace_starts: Type.Optional(Type.Enum(['now', 'first_use'], { default: 'now', description: '`first_use`: the grace period begins when the new token is used for the first time; the previous token ends at the latest 30 days after the rotation.' }))
        }, strict),
        Type.Null(),
        Type.Undefined()
      ]),
      response: { 201: createdKey('RotatedKey', 'The key with its new token.'), ...problemAnswers(400, 401, 403, 404, 409, 413, 415, 422, 503) }
    }
  }, async function rotateKey (request, reply) {
    const { workspace_id: workspaceId, key_id: keyId } = request.params
    const { grace_seconds: graceSeconds, grace_starts: graceStarts } = request.body ?? {}
    const { key, token } = await service.rotate({ workspaceId, keyId, actor: request.actor, graceSeconds, graceStarts, idempotencyKey: request.headers['idempotency-key'] })
    reply.code(201).header('cache-control', 'no-store')
    return { ...toWireKey(key), token }
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
      response: { 204: Type.Null({ description: 'The key is revoked; it may have been revoked before.' }), ...problemAnswers(400, 401, 403, 404, 413, 415, 503) }
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
      summary: 'Revoke every key of a workspace, or of one owner in it; when this returns, every replica refuses them',
      params: workspaceParams,
      querystring: Type.Object({}, strict),
      body: revokeAllBody,
      response: { 200: Type.Object({ revoked: Type.Integer({ description: 'Number of keys.' }) }, { title: 'RevokedKeys', description: 'How many keys this call revoked.' }), ...problemAnswers(400, 401, 403, 413, 415, 503) }
    }
  }, async function revokeWorkspace (request) {
    return await service.revokeWorkspace({ workspaceId: request.params.workspace_id, ownerId: request.body?.owner_id, actor: request.actor, reason: request.body?.reason })
  })
}
