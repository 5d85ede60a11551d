import formbody from '@fastify/formbody'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { formRefusal } from '../http/body-form.ts'
import { problemAnswers } from '../plugins/openapi.ts'

/** OAuth 2.0 token revocation (RFC 7009). The token is the only credential: its holder may revoke it. */
export const revokeRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { tokenReports, verifier } = app.apiKeys
  app.removeAllContentTypeParsers()
  await app.register(formbody)
  app.addHook('preParsing', (request, _reply, payload, done) => { done(formRefusal(request, 'application/x-www-form-urlencoded'), payload) })
  app.addHook('onRequest', app.refuseQuery)

  app.post('/v1/revoke', {
    schema: {
      tags: ['verification'],
      security: [],
      operationId: 'revokeToken',
      summary: 'OAuth 2.0 token revocation (RFC 7009): in force on every replica when this returns',
      consumes: ['application/x-www-form-urlencoded'],
      body: Type.Object({
        token: Type.String({ minLength: 1, description: 'A previous token in its grace period ends alone; the newest token ends the whole key. An unknown token is ignored.' }),
        token_type_hint: Type.Optional(Type.String({ description: 'Ignored: there is only one type of token.' })),
        client_id: Type.Optional(Type.String({ description: 'Ignored: the token is the only credential.' })),
        client_secret: Type.Optional(Type.String({ description: 'Ignored, as a Basic credential is.' }))
      }, { additionalProperties: false }),
      response: { 200: Type.Object({}, { description: 'Every replica refuses the token, whether it was known or not.' }), ...problemAnswers(400, 413, 415, 429, 503) }
    }
  }, async function revokeToken (request, reply) {
    const { token } = request.body
    // Unknown tokens use the same budget here as everywhere else.
    const verdict = await verifier.verify(token, { client: request, from: request, counts: 'nothing' })
    if (verdict.valid || (verdict.reason !== 'unknown' && verdict.reason !== 'malformed')) await tokenReports.end(token)
    reply.header('cache-control', 'no-store')
    return {}
  })
}
