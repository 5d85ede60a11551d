import fp from 'fastify-plugin'
import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import { KeysError } from '../core/errors.ts'
import { formRefusal, textOf } from '../http/body-form.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The request may come without a body, also where it names the content type of one. */
    readonly bodyMayBeLeftOut?: boolean
  }
}

const nestingMax = 16

/**
 * JSON is the one content type that is read, unless a scope says otherwise; unknown fields are refused and never dropped; nothing in a body
 * is converted. What stands in a query string is text, so there a number may be one.
 */
export const strictRequests = fp(async (app) => {
  app.setValidatorCompiler((part) => part.httpPart === 'querystring' ? plainIntegers(part.schema, TypeBoxValidatorCompiler(part)) : TypeBoxValidatorCompiler(part))
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    const refusal = formRefusal(request)
    if (refusal !== undefined) return done(refusal)
    const text = textOf(body)
    // Many clients name the content type of a body that they do not send.
    if (text === '' && request.routeOptions.config.bodyMayBeLeftOut === true) done(null, undefined)
    else if (isNestedTooDeeply(text)) done(new KeysError('invalid_request', { detail: `The body is nested more than ${nestingMax} levels deep.` }))
    else parse(request, text, (error, value) => { done(error !== null && isJson(text) ? poisoned() : error, value) })
  })
}, { name: 'strict-requests', fastify: '5.x' })

/** Conversion takes 2.5, 0x10 and 1e2 for whole numbers. */
function plainIntegers (schema: unknown, validate: ReturnType<typeof TypeBoxValidatorCompiler>): ReturnType<typeof TypeBoxValidatorCompiler> {
  const { properties = {} } = schema as { properties?: Record<string, { type?: string }> }
  const names = Object.keys(properties).filter((name) => properties[name]?.type === 'integer')
  return (query: Readonly<Record<string, unknown>>) => {
    const wrong = names.find((name) => typeof query[name] === 'string' && !/^\d+$/.test(query[name]))
    // Not a number to any converter, so that the fault reads like that of any other text.
    return validate(wrong === undefined ? query : { ...query, [wrong]: 'no integer' })
  }
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
  return new KeysError('invalid_request', { detail: 'The body has a member with the name __proto__, or constructor with a prototype in it. Use other names.' })
}

// Before it is parsed: everything that walks through the result may then recurse.
function isNestedTooDeeply (text: string): boolean {
  let depth = 0
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const character = text[i]
    if (quoted) {
      if (character === '\\') i++
      else if (character === '"') quoted = false
    } else if (character === '"') {
      quoted = true
    } else if (character === '{' || character === '[') {
      if (++depth > nestingMax) return true
    } else if (character === '}' || character === ']') {
      depth--
    }
  }
  return false
}
