import formbody from '@fastify/formbody'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { formRefusal } from '../http/body-form.ts'
import { problemAnswers } from '../plugins/openapi.ts'

/** OAuth 2.0 token revocation (RFC 7009): whoever has a token may end it, and needs nothing else. */
export const revokeRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { tokenReports, verifier } = app.apiKeys
  app.removeAllContentTypeParsers()
  await app.register(formbody)
  app.addHook('preParsing', (request, _reply, payload, done) => { done(formRefusal(request), payload) })
  app.addHook('onRequest', app.refuseQueryCredentials)

  app.post('/v1/revoke', {
    schema: {
      tags: ['verification'],
      security: [],
      operationId: 'revokeToken',
      summary: 'OAuth 2.0 token revocation (RFC 7009): in force everywhere when this returns',
      consumes: ['application/x-www-form-urlencoded'],
      body: Type.Object({
        token: Type.String({ minLength: 1, maxLength: 1024, description: 'A token in its grace ends alone, the newest one ends its key. One that is not known is nothing to be done about.' }),
        token_type_hint: Type.Optional(Type.String({ description: 'Makes no difference: there is one type of token here.' })),
        client_id: Type.Optional(Type.String({ description: 'Makes no difference.' }))
      }, { additionalProperties: false }),
      response: { 200: Type.Object({}, { description: 'The token is refused everywhere, whatever it was.' }), ...problemAnswers(400, 413, 415, 429, 503) }
    }
  }, async function revokeToken (request, reply) {
    const { token } = request.body
    // Who invents tokens has the same budget here as everywhere.
    const verdict = await verifier.verify(token, { client: request, from: request, counts: 'nothing' })
    if (verdict.valid || (verdict.reason !== 'unknown' && verdict.reason !== 'malformed')) await tokenReports.end(token)
    reply.header('cache-control', 'no-store')
    return {}
  })
}
