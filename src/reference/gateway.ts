import { headersNamed, rateHeaders, type Answer, type Description, type Operation, type Parameter, type Schema } from './description.ts'
import { gatewayTexts } from './texts.ts'

/** The messages of MCP that are the same in all revisions: JSON-RPC 2.0. */
export const gatewaySchemas: Readonly<Record<string, Schema>> = {
  McpMessage: {
    title: 'McpMessage',
    description: 'A message of JSON-RPC 2.0.',
    type: 'object',
    required: ['jsonrpc'],
    properties: {
      jsonrpc: { const: '2.0', description: 'The version of JSON-RPC.' },
      id: { anyOf: [{ type: 'string' }, { type: 'integer' }], description: 'A notification has none.' },
      method: { type: 'string', description: 'Of a request or a notification.' },
      params: { type: 'object', description: 'Of a request or a notification.' },
      result: { type: 'object', description: 'Of a response.' }
    }
  },
  McpError: {
    title: 'McpError',
    description: 'A refusal as an error of JSON-RPC 2.0.',
    type: 'object',
    required: ['jsonrpc', 'error'],
    properties: {
      jsonrpc: { const: '2.0', description: 'The version of JSON-RPC.' },
      id: { anyOf: [{ type: 'string' }, { type: 'integer' }, { type: 'null' }], description: 'The id of the request; null if it is not known.' },
      error: {
        type: 'object',
        description: 'Why the message was refused.',
        required: ['code', 'message'],
        properties: {
          code: { type: 'integer', description: 'The code of JSON-RPC.' },
          message: { type: 'string', description: 'What went wrong and what to do, for people and AI assistants.' },
          data: { type: 'object', description: 'For programs.', properties: { code: { type: 'string', description: 'Stable: test this in programs.' } } }
        }
      }
    }
  }
}

const sessionId: Parameter = { name: 'Mcp-Session-Id', in: 'header', required: false, description: 'The session that the answer to `initialize` opened, in revisions of MCP that have sessions.', schema: { type: 'string' } }
const version: Parameter = { name: 'MCP-Protocol-Version', in: 'header', required: false, description: 'The negotiated revision of MCP.', schema: { type: 'string' } }
const message = { schema: { $ref: '#/components/schemas/McpMessage' } }
const stream = { schema: { type: 'string', description: 'Server-sent events, each with a message.' } }

const refusals: Readonly<Record<string, string>> = {
  400: 'The message cannot be read, or is not a message of MCP.',
  401: 'No key, or one that is malformed, unknown, revoked or expired.',
  403: 'The key has too little scope for this call, or may not be used from this address.',
  404: 'This key has no such session.',
  413: 'The body is too large.',
  415: 'The content type is not supported.',
  429: 'The key is over its rate limit, or has too many large requests in progress.',
  502: 'The MCP server behind the gateway cannot be reached, or failed. `error.data` says whether the message was sent to it.',
  503: 'It is not known right now whether the key is valid.',
  504: 'The MCP server did not answer in time.'
}

function answers (given: Readonly<Record<string, Answer>>, ...statuses: number[]): Record<string, Answer> {
  return {
    ...Object.fromEntries(Object.entries(given).map(([status, answer]) => [status, { ...answer, headers: headersNamed(rateHeaders) }])),
    ...Object.fromEntries(statuses.map((status) => [status, {
      description: refusals[status]!,
      ...status === 429 ? { headers: headersNamed(rateHeaders) } : {},
      content: { 'application/json': { schema: { $ref: '#/components/schemas/McpError' } } }
    }]))
  }
}

/** Describes each path of the gateway. Without a gateway it describes `/mcp`, so that the description does not depend on the settings. */
export function describeGateways (description: Description): void {
  const paths = description.paths ??= {}
  const gateways = Object.keys(paths).filter((path) => Object.values(paths[path]!).some(({ tags = [] }) => tags.includes('mcp')))
  for (const [index, path] of (gateways.length > 0 ? gateways : ['/mcp']).entries()) paths[path] = operationsAt(index === 0 ? '' : `At${path.replace(/[^A-Za-z0-9]+(.)?/g, (_, letter: string = '') => letter.toUpperCase())}`)
}

function operationsAt (suffix: string): Record<string, Operation> {
  const common = { tags: ['mcp'], security: [{ key: [] }] }
  return {
    post: {
      ...common,
      operationId: `callMcp${suffix}`,
      ...gatewayTexts.callMcp,
      parameters: [sessionId, version],
      requestBody: { required: true, content: { 'application/json': { ...message, example: { jsonrpc: '2.0', id: 1, method: 'tools/list' } } } },
      responses: answers({
        200: { description: 'The answer, as JSON or as an event stream that ends with it.', content: { 'application/json': message, 'text/event-stream': stream } },
        202: { description: 'A notification or a response was accepted.' }
      }, 400, 401, 403, 404, 413, 415, 429, 502, 503, 504)
    },
    get: {
      ...common,
      operationId: `openMcpStream${suffix}`,
      ...gatewayTexts.openMcpStream,
      parameters: [sessionId, version],
      responses: answers({ 200: { description: 'The stream. It ends when the key is revoked or expires.', content: { 'text/event-stream': stream } } }, 400, 401, 403, 404, 429, 502, 503, 504)
    },
    delete: {
      ...common,
      operationId: `endMcpSession${suffix}`,
      ...gatewayTexts.endMcpSession,
      parameters: [sessionId, version],
      responses: answers({ 200: { description: 'The session has ended.' } }, 400, 401, 403, 404, 429, 502, 503, 504)
    }
  }
}
