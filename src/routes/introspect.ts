import formbody from '@fastify/formbody'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type, type Static } from 'typebox'
import type { KeyRecord } from '../core/key-record.ts'
import { isScope, scopes } from '../core/scopes.ts'
import { formRefusal } from '../http/body-form.ts'
import { requestOrigin } from '../http/request-origin.ts'
import { problemAnswers } from '../plugins/openapi.ts'
import { addressSchema } from '../http/wire.ts'
import { senderAt, serviceClient } from './service-client.ts'

interface IntrospectOptions {
  /** What `iss` says. Default: the origin that the request was sent to. */
  readonly issuer?: string | undefined
}

const active = Type.Object({
  active: Type.Literal(true, { description: 'The token is valid.' }),
  scope: Type.String({ description: 'All scopes of the key, separated by spaces.' }),
  sub: Type.String({ description: 'The owner of the key; for a key without an owner, the id of the key.' }),
  client_id: Type.String({ description: 'The id of the key.' }),
  workspace_id: Type.String({ description: 'The workspace of the key.' }),
  exp: Type.Optional(Type.Integer({ description: 'Seconds since the epoch; absent: never.' })),
  iat: Type.Integer({ description: 'When the key was created, in seconds since the epoch.' }),
  iss: Type.Optional(Type.String({ description: 'The origin of this service: PUBLIC_URL or, without it, where the request was sent; absent: the request did not say where.' })),
  token_type: Type.Literal('Bearer', { description: 'How the token is sent.' })
})

const inactive = Type.Object({ active: Type.Literal(false, { description: 'The token is not valid.' }) })

/** The same as `/v1/verify` in the format of RFC 7662 (token introspection). */
export const introspectRoutes: FastifyPluginAsyncTypebox<IntrospectOptions> = async (app, { issuer }) => {
  const { verifier } = app.apiKeys
  app.removeAllContentTypeParsers()
  await app.register(formbody)
  app.addHook('preParsing', (request, _reply, payload, done) => { done(formRefusal(request, 'application/x-www-form-urlencoded'), payload) })
  app.addHook('onRequest', app.requireServiceClient)
  app.addHook('onRequest', app.refuseQuery)
  app.addHook('preValidation', app.requireServiceClientInBody)

  app.post('/v1/introspect', {
    schema: {
      tags: ['verification'],
      security: [{ service: [] }, { management: [] }, { client: [] }],
      operationId: 'introspect',
      summary: 'OAuth 2.0 token introspection (RFC 7662)',
      consumes: ['application/x-www-form-urlencoded'],
      body: Type.Object({
        token: Type.String({ minLength: 1, description: 'The token as the client sent it.' }),
        token_type_hint: Type.Optional(Type.String({ description: 'Ignored: there is only one type of token.' })),
        client_id: Type.Optional(Type.String({ description: 'With `client_secret`: the name of a service or management token. Otherwise ignored.' })),
        client_secret: Type.Optional(Type.String({ description: 'That token, if the Authorization header does not contain it (`client_secret_post`).' })),
        resource: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())], { description: 'Ignored.' })),
        address: Type.Optional(addressSchema),
        scope: Type.Optional(Type.String({ description: 'Required scopes, separated by spaces; a key that lacks one of them is reported as not active.' }))
      }, { additionalProperties: false }),
      response: {
        200: Type.Union([active, inactive], { title: 'Introspection', description: 'The state of the token.' }),
        ...problemAnswers(400, 401, 403, 413, 415, 429, 503)
      }
    }
  }, async function introspect (request, reply) {
    const { token, scope = '', address } = request.body
    reply.header('cache-control', 'no-store')
    const from = senderAt(address)
    const verdict = await verifier.verify(token, { client: serviceClient(request), from, counts: 'nothing' })
    if (!verdict.valid) return { active: false as const }
    if (!hasAll(verdict.key, scope)) {
      verifier.noteRefusal(verdict.key, 'insufficient_scope')
      return { active: false as const }
    }
    verifier.noteUse(verdict.key, from)
    return toIntrospection(verdict.key, issuer ?? requestOrigin(request))
  })
}

function hasAll (key: KeyRecord, wanted: string): boolean {
  return wanted.split(' ').every((scope) => scope === '' || (isScope(scope) && scopes[key.scope].implies.includes(scope)))
}

function toIntrospection ({ id, ownerId, workspaceId, scope, createdAt, expiresAt }: KeyRecord, issuer: string | undefined): Static<typeof active> {
  return {
    active: true,
    scope: scopes[scope].implies.join(' '),
    sub: ownerId ?? id,
    client_id: id,
    workspace_id: workspaceId,
    ...(expiresAt === null ? {} : { exp: Math.floor(expiresAt / 1000) }),
    iat: Math.floor(createdAt / 1000),
    ...(issuer === undefined ? {} : { iss: issuer }),
    token_type: 'Bearer'
  }
}
