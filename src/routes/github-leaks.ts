import { hash } from 'node:crypto'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { systemClock } from '../core/clock.ts'
import { KeysError } from '../core/errors.ts'
import { invalid } from '../core/key-errors.ts'
import { digestFromBytes, digestToBytes } from '../core/key-record.ts'
import { rules } from '../core/key-rules.ts'
import { MissBudget } from '../core/miss-budget.ts'
import type { Leak } from '../core/token-store.ts'
import { textOf } from '../http/body-form.ts'
import { GithubKeys } from '../http/github-keys.ts'
import { doubled, membersIn, ofBody, outlineOf } from '../http/json-outline.ts'
import { isRepeated } from '../http/repeated-header.ts'
import { problemAnswers } from '../plugins/openapi.ts'

interface GithubLeaksOptions {
  /** The file or URL with GitHub's public keys. */
  readonly keysSource: string
}

const bytesMax = 1024 * 1024
const reportsMax = 1000
// GitHub sends its findings in batches. More requests per minute from one address are replays of earlier reports.
const reportsPerMinute = 300
const tokenMax = 1024
const urlMax = 2048
const urlPattern = new RegExp(rules.text.pattern, 'u')
const identifierHeader = 'github-public-key-identifier'
const signatureHeader = 'github-public-key-signature'

const answer = Type.Object({
  token_hash: Type.String({ description: 'The SHA-256 of the token, in base64.' }),
  token_type: Type.String({ description: 'The same as in the report.' }),
  label: Type.Enum(['true_positive', 'false_positive'], { description: '`true_positive`: it is, or was, a token of a key of this service.' })
})

interface Report {
  readonly token: string
  readonly type: string
  readonly url: string | undefined
}

/** Reports of leaked tokens from GitHub (secret scanning partner program). The signature is the only credential. */
export const githubLeakRoutes: FastifyPluginAsyncTypebox<GithubLeaksOptions> = async (app, { keysSource }) => {
  const { tokenReports } = app.apiKeys
  const keys = new GithubKeys({ source: keysSource, clock: systemClock, log: app.log })
  const budget = new MissBudget({ clock: systemClock, perMinute: reportsPerMinute })
  app.removeAllContentTypeParsers()
  // Keep the bytes: the signature is over them, not over the parsed value.
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => { done(null, body) })
  app.addHook('onRequest', app.refuseQueryCredentials)
  app.addHook('onRequest', (request, _reply, done) => {
    const waitMs = budget.take(request)
    if (waitMs > 0) return done(tooManyReports(Math.ceil(waitMs / 1000)))
    const { rawHeaders, headers } = request.raw
    const isSigned = [identifierHeader, signatureHeader].every((name) => typeof headers[name] === 'string' && headers[name] !== '' && !isRepeated(name, rawHeaders))
    done(isSigned ? undefined : notSigned())
  })

  app.post('/v1/leaks/github', {
    bodyLimit: bytesMax,
    validatorCompiler: () => () => true,
    schema: {
      tags: ['leaks'],
      security: [{ github: [] }],
      operationId: 'reportLeaksByGithub',
      summary: 'Report leaked tokens from GitHub’s secret scanning; when this returns, every replica refuses their keys',
      headers: Type.Object({
        'Github-Public-Key-Identifier': Type.String({ description: 'Identifies the key of GitHub that signed.' }),
        'Github-Public-Key-Signature': Type.String({ description: 'ECDSA (P-256, SHA-256) over the bytes of the body, in base64.' })
      }),
      body: Type.Array(Type.Object({
        token: Type.String({ minLength: 1, maxLength: tokenMax, description: 'The token as it was found.' }),
        type: Type.String({ description: 'The name that GitHub has for tokens of this form.' }),
        url: Type.Optional(Type.String({ description: 'Where the token was found.' })),
        source: Type.Optional(Type.String({ description: 'In what kind of content it was found.' }))
      }), { minItems: 1, maxItems: reportsMax }),
      response: { 200: Type.Array(answer, { title: 'GithubLeakAnswers', description: 'One row for each report, in the order of the request.' }), ...problemAnswers(400, 401, 413, 415, 429, 503) }
    }
  }, async function reportLeaksByGithub (request, reply) {
    const body = request.body as unknown as Buffer
    const { [identifierHeader]: identifier, [signatureHeader]: signature } = request.headers as Record<string, string>
    if (!await keys.hasSigned(body, { identifier: identifier!, signature: signature! })) throw notSigned()
    const reports = reportsOf(body)
    const leaks = reports.map(({ token, url }): Leak => ({
      digest: digestFromBytes(hash('sha256', token, 'buffer')),
      // Revoke the key even if the URL of the finding cannot be stored.
      url: url === undefined || app.holdsSecret(url) ? undefined : url,
      source: 'github'
    }))
    const answers = await tokenReports.leaked(leaks, 'github')
    reply.header('cache-control', 'no-store')
    return answers.map(({ digest, isOurs }, i) => ({
      token_hash: digestToBytes(digest).toString('base64'),
      token_type: reports[i]!.type,
      label: isOurs ? 'true_positive' as const : 'false_positive' as const
    }))
  })
}

// Ignore unknown members: GitHub may add some.
function reportsOf (body: Buffer): readonly Report[] {
  const text = textOf(body)
  const { members, refusal } = outlineOf(text)
  if (refusal !== undefined) throw ofBody(refusal)
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch {
    throw invalid([{ pointer: '', detail: 'Must be JSON.' }])
  }
  if (membersIn(given) !== members) throw doubled()
  if (!Array.isArray(given) || given.length === 0 || given.length > reportsMax) throw invalid([{ pointer: '', detail: `Must be an array of 1 to ${reportsMax} reports.` }])
  return given.map((report: unknown, i) => {
    const { token, type, url } = (typeof report === 'object' ? report ?? {} : {}) as Record<string, unknown>
    if (typeof token !== 'string' || token === '' || token.length > tokenMax) throw invalid([{ pointer: `/${i}/token`, detail: `Must be a string of 1 to ${tokenMax} characters.` }])
    if (typeof type !== 'string' || type.length > 200) throw invalid([{ pointer: `/${i}/type`, detail: 'Must be a string of at most 200 characters.' }])
    return { token, type, url: typeof url === 'string' && url.length <= urlMax && urlPattern.test(url) ? url : undefined }
  })
}

function notSigned (): KeysError {
  return new KeysError('unauthenticated', { detail: 'The report is not signed by GitHub: Github-Public-Key-Identifier and Github-Public-Key-Signature do not match the body. For reports from other sources, use POST /v1/leaks.' })
}

function tooManyReports (retryAfterS: number): KeysError {
  return new KeysError('rate_limited', { detail: 'Too many reports came from this address. Try again later, with several leaks in one report.', retryAfterS })
}
