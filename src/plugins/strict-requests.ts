import fp from 'fastify-plugin'
import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import { KeysError } from '../core/errors.ts'

const nestingMax = 16

/**
 * JSON is the one content type that is read, unless a scope says otherwise; unknown fields are refused and never dropped; nothing in a body
 * is converted. What stands in a query string is text, so there a number may be one.
 */
export const strictRequests = fp(async (app) => {
  app.setValidatorCompiler(TypeBoxValidatorCompiler)
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    const text = String(body)
    // Many clients name the content type of a body that they do not send.
    if (text === '' && request.method === 'DELETE') done(null, undefined)
    else if (isNestedTooDeeply(text)) done(new KeysError('invalid_request', { detail: `The body is nested more than ${nestingMax} levels deep.` }))
    else parse(request, text, done)
  })
}, { name: 'strict-requests', fastify: '5.x' })

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
