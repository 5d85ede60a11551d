import { hash } from 'node:crypto'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { invalid } from '../core/key-errors.ts'
import { digestFromBytes, digestFromText, digestToBytes, type Digest } from '../core/key-record.ts'
import { rules } from '../core/key-rules.ts'
import { problemAnswers } from '../plugins/openapi.ts'

const bytesMax = 1024 * 1024

const report = Type.Object({
  token: Type.Optional(Type.String({ minLength: 1, maxLength: 1024, description: 'The token as it was found.' })),
  token_sha256: Type.Optional(Type.String({ pattern: rules.digest.pattern, description: 'Instead of the token: its SHA-256, in hexadecimal or base64.' })),
  url: Type.Optional(Type.String({ maxLength: 2048, pattern: rules.text.pattern, description: 'Where the token was found.' })),
  source: Type.Optional(Type.String({ maxLength: 200, pattern: rules.text.pattern, description: 'Who found the token.' }))
}, { additionalProperties: false, title: 'LeakReport' })

const answer = Type.Object({
  token_sha256: Type.String({ description: 'The digest in hexadecimal.' }),
  result: Type.Enum(['true_positive', 'false_positive'], { description: '`true_positive`: it is, or was, a token of a key of this service.' }),
  revoked: Type.Boolean({ description: 'Whether this report revoked the key.' })
}, { title: 'LeakAnswer' })

/** Reports of leaked tokens. Needs a management token. */
export const leakRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { tokenReports } = app.apiKeys
  app.addHook('onRequest', app.requireManagement)
  app.addHook('onRequest', app.refuseQueryCredentials)

  app.post('/v1/leaks', {
    bodyLimit: bytesMax,
    schema: {
      tags: ['leaks'],
      security: [{ management: [] }],
      operationId: 'reportLeaks',
      summary: 'Report tokens that have leaked; when this returns, every replica refuses their keys',
      querystring: Type.Object({}, { additionalProperties: false }),
      body: Type.Array(report, { minItems: 1, maxItems: 1000 }),
      response: { 200: Type.Array(answer, { title: 'LeakAnswers', description: 'One row for each report, in the order of the request.' }), ...problemAnswers(400, 401, 403, 413, 415, 503) }
    }
  }, async function reportLeaks (request) {
    const leaks = request.body.map(({ token, token_sha256: sha256, url, source }, index) => {
      for (const [name, text] of [['url', url], ['source', source]]) {
        if (text !== undefined && app.holdsSecret(text)) throw invalid([{ pointer: `/${index}/${name}`, detail: 'Contains a token or a secret, and would be stored. Remove that part.' }])
      }
      return { digest: digestOf(token, sha256, index), url, source }
    })
    const answers = await tokenReports.leaked(leaks, request.actor)
    return answers.map(({ digest, isOurs, revoked }) => ({
      token_sha256: digestToBytes(digest).toString('hex'),
      result: isOurs ? 'true_positive' as const : 'false_positive' as const,
      revoked
    }))
  })
}

function digestOf (token: string | undefined, sha256: string | undefined, index: number): Digest {
  if ((token === undefined) === (sha256 === undefined)) throw invalid([{ pointer: `/${index}`, detail: 'Must have exactly one of the fields token and token_sha256.' }])
  if (token !== undefined) {
    // A line of a file ends in a line break. No token has a space in it: another digest would be no leak of ours.
    const alone = token.trim()
    if (/\s/.test(alone)) throw invalid([{ pointer: `/${index}/token`, detail: 'Must be the token alone, without a scheme or spaces.' }])
    return digestFromBytes(hash('sha256', alone, 'buffer'))
  }
  return digestFromText(sha256!)
}
