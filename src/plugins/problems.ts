import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { KeysError, unavailable, type ErrorCode } from '../core/errors.ts'
import { isAway } from '../db/outage.ts'
import { faultsOfValidation } from '../http/faults-of-validation.ts'
import { allowedMethods, type RouteMap } from '../http/allowed-methods.ts'
import { logOf } from '../http/logging.ts'
import { meanings, problemDocument, problemType } from '../http/problem-document.ts'

/** Turns every error into problem+json (RFC 9457). An unexpected error is an opaque 500 whose cause is only logged. */
export const problems = fp(async (app) => {
  const routes: RouteMap = new Map()
  app.addHook('onRoute', ({ url, method }) => {
    const methods = routes.get(url) ?? new Set()
    for (const one of [method].flat()) methods.add(one)
    routes.set(url, methods)
  })
  app.setErrorHandler(sendProblem)
  app.setNotFoundHandler((request, reply) => {
    const allowed = allowedMethods(routes, request.url)
    if (allowed.length === 0) throw new KeysError('not_found', { detail: 'There is no such path. See /openapi.json for all paths.' })
    reply.header('allow', allowed.join(', '))
    throw new KeysError('method_not_allowed', { detail: 'This path does not allow this method. The Allow header lists the allowed methods.' })
  })
}, { name: 'problems', fastify: '5.x' })

/** Also handles errors before routing, such as an invalid URL. */
export function sendProblem (error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  // The client closed the connection while it sent its body. No answer can reach it, and the access log says so; its ECONNRESET is not that of a store.
  const { errored } = request.raw
  if (errored !== null && error === errored) return
  const problem = toKeysError(error, request)
  if (problem.code === 'internal') logOf(request).error({ err: error }, 'unforeseen error')
  else if (problem.code === 'unavailable') logOf(request).warn({ err: problem.cause }, 'unavailable')
  if (problem.code === 'unauthenticated') reply.header('www-authenticate', `${problem.scheme} realm="navis-keys"`)
  if (problem.retryAfterS !== undefined) reply.header('retry-after', String(problem.retryAfterS))
  reply.code(meanings[problem.code].status).header('cache-control', 'no-store').type(problemType).serializer(asIs).send(problemDocument(problem))
}

function toKeysError (error: unknown, request: FastifyRequest): KeysError {
  if (error instanceof KeysError) return error
  if (isAway(error)) return unavailable('A store that this request needs is unavailable. Try again.', error)
  const foreseen = fromFramework(error as Partial<FastifyError>, request)
  return foreseen ?? new KeysError('internal', {
    detail: 'Internal error. Search the logs for the "request_id" of this answer.', extra: { request_id: request.id }
  })
}

/** `fault`: what is wrong with the body as a whole. */
const details: Readonly<Record<string, { code: ErrorCode, detail: string, fault?: string }>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { code: 'unsupported_media_type', detail: 'Unsupported content type. Send the content type that /openapi.json names for this path.' },
  FST_ERR_CTP_EMPTY_JSON_BODY: { code: 'invalid_request', detail: 'The body is empty. Send a JSON object, or omit the Content-Type header.', fault: 'Must be JSON.' },
  FST_ERR_CTP_INVALID_JSON_BODY: { code: 'invalid_request', detail: 'The body is not valid JSON.', fault: 'Must be JSON.' },
  FST_ERR_BAD_URL: { code: 'invalid_request', detail: 'The path is not a valid URL path. Percent-encode what needs it.' },
  FST_ERR_MAX_PARAM_LENGTH: { code: 'not_found', detail: 'There is no such path: a part of it is too long.' }
}

function fromFramework ({ code = '', statusCode = 500, validation, validationContext }: Partial<FastifyError>, request: FastifyRequest): KeysError | undefined {
  if (validation !== undefined) {
    return new KeysError('invalid_request', { detail: `Invalid ${places[validationContext ?? ''] ?? 'request'}; see "errors".`, faults: faultsOfValidation(validation, membersOf(request)) })
  }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new KeysError('body_too_large', { detail: `The body is larger than ${request.routeOptions.bodyLimit / 1024} KiB, the maximum for this path.` })
  const known = details[code]
  if (known !== undefined) return new KeysError(known.code, { detail: known.detail, faults: known.fault === undefined ? [] : [{ pointer: '', detail: known.fault }] })
  if (statusCode >= 400 && statusCode < 500) return new KeysError('invalid_request', { detail: 'The request cannot be read. Check that its body matches its Content-Type and Content-Length.' })
  return undefined
}

function membersOf ({ routeOptions }: FastifyRequest): string[] {
  const { properties = {} } = (routeOptions.schema?.body ?? {}) as { properties?: object }
  return Object.keys(properties)
}

const places: Readonly<Record<string, string>> = { body: 'request body', querystring: 'query string', params: 'path', headers: 'headers' }
const asIs = (document: unknown) => document as string
