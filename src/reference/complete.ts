import { problemType } from '../http/problem-document.ts'
import { headersNamed, rateHeaders, type Description, type Operation } from './description.ts'
import { describeGateways, gatewaySchemas } from './gateway.ts'
import { completeProblems } from './problems.ts'
import { withNames } from './named-schemas.ts'
import { makePortable } from './portable-schemas.ts'
import { forwardAuthParameters, headers, headersOfStatus, operations, tags } from './texts.ts'
import { webhooksOf } from './webhooks.ts'

/** The methods that OpenAPI can describe (3.1, section 4.8.9). Forward-auth accepts others too. */
const methods = new Set(['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'])
const forwardAuth = '/forward-auth'

/** Adds to the framework's description what it does not know: texts, examples, headers, errors, and optional bodies. */
export function complete (given: Description): Description {
  // Copy it: the methods of a path share one object, and the schemas are the ones that validate requests.
  const description = JSON.parse(JSON.stringify(given)) as Description
  makePortable(description)
  describeGateways(description)
  const examples: Parameters<typeof completeProblems>[2] = {}
  for (const [path, item] of Object.entries(description.paths ?? {})) {
    for (const [method, operation] of Object.entries(item)) {
      if (!methods.has(method)) delete item[method]
      else if (path === forwardAuth) completeForwardAuth(operation, method)
      if (methods.has(method)) completeOperation(operation, examples)
    }
  }
  const named = withNames(description)
  return {
    ...named,
    webhooks: webhooksOf(named),
    tags: [...tags],
    components: { ...named.components, schemas: { ...named.components?.schemas, ...gatewaySchemas }, headers, examples }
  }
}

function completeForwardAuth (operation: Operation, method: string): void {
  operation.operationId = method === 'get' ? 'forwardAuth' : `forwardAuth${method.charAt(0).toUpperCase()}${method.slice(1)}`
  operation.parameters = [...forwardAuthParameters]
  if (operation.responses?.['200'] !== undefined) operation.responses['200'].headers = headersNamed(['x-auth-key-id', 'x-auth-workspace-id', 'x-auth-owner-id', 'x-auth-scopes', ...rateHeaders])
  if (operation.responses?.['429'] !== undefined) operation.responses['429'].headers = headersNamed(rateHeaders)
}

function completeOperation (operation: Operation, examples: Parameters<typeof completeProblems>[2]): void {
  const { operationId = '', requestBody, responses = {} } = operation
  const text = operations[operationId] ?? (operationId.startsWith('forwardAuth') ? operations['forwardAuth'] : undefined)
  if (text !== undefined) operation.description = text.description
  operation.security ??= []
  if (requestBody !== undefined) completeBody(requestBody, text?.body)
  // Every path refuses a credential in its query string.
  if (!Object.keys(responses).some((status) => status.startsWith('4'))) {
    responses['400'] = { description: '', content: { [problemType]: { schema: { $ref: '#/components/schemas/Problem' } } } }
  }
  for (const [status, answer] of Object.entries(responses)) {
    const names = [...headersOfStatus[status] ?? [], ...status === '201' ? text?.headers ?? [] : []]
    if (names.length > 0) answer.headers = { ...answer.headers, ...headersNamed(names) }
    const media = answer.content?.['application/json']
    if (media !== undefined && /^20\d$/.test(status) && text?.answer !== undefined) media.example = text.answer
  }
  completeProblems(operationId, responses, examples)
  operation.responses = responses
}

// The framework describes an optional body by the type `undefined`, which JSON Schema does not have.
function completeBody (body: NonNullable<Operation['requestBody']>, example: unknown): void {
  for (const media of Object.values(body.content)) {
    const kinds = media.schema?.anyOf
    if (kinds?.some(({ type }) => type === 'undefined')) {
      body.required = false
      media.schema = kinds.find(({ type }) => type === 'object')!
    }
    if (example !== undefined) media.example = example
  }
}
