import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type, type Static } from 'typebox'
import { reasons, type Verdict } from '../core/verdict.ts'
import { scopes } from '../core/scopes.ts'
import { problemAnswers } from '../plugins/openapi.ts'
import { senderAt, serviceClient } from './service-client.ts'
import { addressSchema, metadataSchema, nullable, scopeSchema, toWireTime } from '../http/wire.ts'

const accepted = Type.Object({
  valid: Type.Literal(true, { description: 'The token is valid, and has the scope.' }),
  key: Type.Object({
    id: Type.String({ format: 'uuid', description: 'The id of the key.' }),
    workspace_id: Type.String({ description: 'The workspace of the key.' }),
    owner_id: nullable(Type.String({ description: 'The owner of the key; null: none.' })),
    name: Type.String({ description: 'What people call the key.' }),
    scope: scopeSchema,
    scopes: Type.Array(scopeSchema, { description: '`scope` and what it implies.' }),
    expires_at: nullable(Type.String({ format: 'date-time', description: 'null: never.' })),
    metadata: metadataSchema
  }, { title: 'VerifiedKey' })
})

const refused = Type.Object({
  valid: Type.Literal(false, { description: 'The token was refused.' }),
  reason: Type.Enum([...reasons], { description: 'Why.' })
})

/** Verifies a token for an internal service. */
export const verifyRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { verifier } = app.apiKeys
  app.addHook('onRequest', app.requireService)
  app.addHook('onRequest', app.refuseQuery)

  app.post('/v1/verify', {
    schema: {
      tags: ['verification'],
      security: [{ service: [] }, { management: [] }],
      operationId: 'verify',
      summary: 'Verify a token and a scope. A refusal is an answer, not an error',
      body: Type.Object({
        token: Type.String({ description: 'The token as the client sent it, in any form.' }),
        scope: Type.Optional(scopeSchema),
        address: Type.Optional(addressSchema)
      }, { additionalProperties: false }),
      response: {
        200: Type.Union([accepted, refused], { title: 'Verdict', description: 'The verdict.' }),
        ...problemAnswers(400, 401, 403, 413, 415, 429, 503)
      }
    }
  }, function verify (request, reply) {
    const { token, scope, address } = request.body
    const verdict = verifier.verify(token, { scope, client: serviceClient(request), from: senderAt(address) })
    const answer = (verdict: Verdict) => {
      // Serialize by the schema of the one variant: for a union, the serializer would run a validator first.
      const text = reply.serializeInput(toWireVerdict(verdict), (verdict.valid ? accepted : refused) as object as Record<string, unknown>)
      reply.type('application/json; charset=utf-8').send(text as never)
    }
    if (verdict instanceof Promise) verdict.then(answer, (error: unknown) => { reply.send(error as never) })
    else answer(verdict)
  })
}

function toWireVerdict (verdict: Verdict): Static<typeof accepted> | Static<typeof refused> {
  if (!verdict.valid) return { valid: false, reason: verdict.reason }
  const { id, workspaceId, ownerId, name, scope, metadata, expiresAt } = verdict.key
  return {
    valid: true,
    key: {
      id,
      workspace_id: workspaceId,
      owner_id: ownerId,
      name,
      scope,
      scopes: [...scopes[scope].implies],
      expires_at: expiresAt === null ? null : toWireTime(expiresAt),
      metadata: { ...metadata }
    }
  }
}
