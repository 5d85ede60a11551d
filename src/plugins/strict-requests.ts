import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import fp from 'fastify-plugin'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'
import { KeysError } from '../core/errors.ts'
import { formRefusal, textOf } from '../http/body-form.ts'
import { doubled, membersIn, ofBody, outlineOf } from '../http/json-outline.ts'
import { isRepeated } from '../http/repeated-header.ts'
import { isHost } from '../http/request-origin.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The request may have no body, even if it has a Content-Type. */
    readonly bodyMayBeLeftOut?: boolean
  }
}

/**
 * Accepts only JSON, unless a scope allows another content type. Refuses unknown fields instead of dropping them, and converts no types in a body. In a query
 * string everything is text, so numbers are converted there.
 */
export const strictRequests = fp(async (app) => {
  app.setValidatorCompiler((part) => part.httpPart === 'querystring' ? plainIntegers(part.schema, validatorOf(part)) : validatorOf(part))
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    const refusal = formRefusal(request)
    if (refusal !== undefined) return done(refusal)
    const text = textOf(body)
    // Many clients send a Content-Type without a body.
    if (text === '' && request.routeOptions.config.bodyMayBeLeftOut === true) done(null, undefined)
    else {
      const { members, refusal } = outlineOf(text)
      if (refusal !== undefined) return done(ofBody(refusal))
      parse(request, text, (error, value) => {
        if (error !== null) done(isJson(text) ? poisoned() : error)
        else if (membersIn(value) !== members) done(doubled())
        else done(null, value)
      })
    }
  })

  // RFC 9112, section 3.2. Node keeps the first Host header, but a proxy in front may have used the second. Node itself would refuse a missing one without a problem document.
  app.addHook('onRequest', ({ raw: { headers, rawHeaders, httpVersion } }, _reply, done) => {
    if (headers.host === undefined && httpVersion === '1.1') done(new KeysError('invalid_request', { detail: 'There is no Host header. Send one.' }))
    else if (isRepeated('host', rawHeaders)) done(new KeysError('invalid_request', { detail: 'There is more than one Host header. Send one.' }))
    // Empty: RFC 9110, section 7.2, for a target without an authority.
    else if (headers.host !== undefined && headers.host !== '' && !isHost(headers.host)) done(new KeysError('invalid_request', { detail: 'The Host header is not a host with or without a port, such as keys.example.com:8080.' }))
    else done()
  })
  // Fastify waits for the body that a Content-Type speaks of, and Node has ended a request that has none (`optimizeEmptyRequests`).
  app.addHook('preParsing', (request, _reply, payload, done) => {
    done(null, request.headers['content-type'] === undefined || hasBody(request.headers) ? payload : Readable.from([]))
  })
  app.server.on('checkContinue', askForBodyWhenRead).on('checkExpectation', ignoreExpectation)
  app.addHook('onClose', async () => { app.server.off('checkContinue', askForBodyWhenRead).off('checkExpectation', ignoreExpectation) })

  /** Any other `Expect`: RFC 9110, section 10.1.1, lets a server ignore it. Node alone would answer 417 without a problem document. */
  function ignoreExpectation (request: IncomingMessage, answer: ServerResponse): void {
    app.server.emit('request', request, answer)
  }

  /** `Expect: 100-continue`: ask the client for its body when reading begins, after its credential was accepted. */
  function askForBodyWhenRead (request: IncomingMessage, answer: ServerResponse): void {
    const { shouldKeepAlive } = answer
    const read = request._read
    // After a refusal the client may or may not still send the body, so the connection cannot be reused.
    answer.shouldKeepAlive = false
    request._read = (size) => {
      request._read = read
      if (!answer.headersSent) {
        answer.shouldKeepAlive = shouldKeepAlive && !app.draining
        answer.writeContinue()
      }
      read.call(request, size)
    }
    app.server.emit('request', request, answer)
  }
}, { name: 'strict-requests', fastify: '5.x' })

type Errors = ReturnType<ReturnType<typeof Compile>['Errors']>
type Validate = (value: unknown) => { value: unknown } | { error: Errors }

/** The same as `TypeBoxValidatorCompiler`, whose module also loads the formats of Ajv. */
function validatorOf ({ schema, httpPart }: { readonly schema: unknown, readonly httpPart?: string | undefined }): Validate {
  const compiled = Compile(schema as TSchema)
  // Decided once: most bodies have no such list, and verifying is the most frequent request.
  const hasLists = httpPart === 'body' && JSON.stringify(schema).includes('"maxItems"')
  return (value) => {
    const error = hasLists ? tooLongIn(schema as Limited, value) : []
    if (error.length > 0) return { error }
    const converted = httpPart === 'body' ? value : Value.Convert(schema as TSchema, value)
    return compiled.Check(converted) ? { value: converted } : { error: compiled.Errors(converted) }
  }
}

interface Limited {
  readonly maxItems?: number
  readonly properties?: Readonly<Record<string, Limited>>
}

/** Lists that are too long. The validator goes through all entries even then, and finding its errors would hold the event loop for seconds. */
function tooLongIn ({ maxItems: limit = Infinity, properties = {} }: Limited, value: unknown, instancePath = ''): Errors {
  if (Array.isArray(value)) return value.length > limit ? [{ keyword: 'maxItems', schemaPath: '#', instancePath, params: { limit }, message: 'must not have more items' }] : []
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(properties).flatMap(([name, schema]) => tooLongIn(schema, (value as Readonly<Record<string, unknown>>)[name], `${instancePath}/${name}`))
}

/** The type conversion would accept 2.5, 0x10 and 1e2 as whole numbers. */
function plainIntegers (schema: unknown, validate: Validate): Validate {
  const { properties = {} } = schema as { properties?: Record<string, { type?: string }> }
  const names = Object.keys(properties).filter((name) => properties[name]?.type === 'integer')
  return (value) => {
    const query = value as Readonly<Record<string, unknown>>
    const wrong = names.find((name) => typeof query[name] === 'string' && !/^-?\d+$/.test(query[name]))
    // No converter reads this as a number, so the error is the same as for any other text.
    return validate(wrong === undefined ? query : { ...query, [wrong]: 'no integer' })
  }
}

/** RFC 9112, section 6: one of these fields says that a body follows. */
function hasBody (headers: IncomingMessage['headers']): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
}

function isJson (text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function poisoned (): KeysError {
  return ofBody('The body has a field with the name __proto__, or a field constructor with a prototype in it. Use other names.')
}
