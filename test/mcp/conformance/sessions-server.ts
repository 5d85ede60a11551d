import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { StreamableHTTPServerTransport, type EventStore } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import * as types from '@modelcontextprotocol/sdk/types.js'
import { commonTools, completion, listPrompts, listTools, prompts, readResource, resources, resourceTemplates, text, texts, tick, type Call, type Result, type Tool } from './contents.ts'

/*
 * The reference server of the revisions with sessions, 2025-03-26 to 2025-11-25, on the official SDK 1: event streams that can be
 * resumed, requests of the server to its client, and the protection of a server on localhost. Prints its port.
 */
interface SessionCall extends Call {
  request (method: 'sampling/createMessage' | 'elicitation/create', params: Result): Promise<Result>
  closeStream (): void
}

const log = async ({ notify }: Call, data: string) => {
  await notify('notifications/message', { level: 'info', data })
  await tick()
}
const object = (properties: Result, required: readonly string[] = []) => ({ type: 'object', properties, required })
const elicit = async (call: SessionCall, message: string, requestedSchema: Result) => {
  const { action, content } = await call.request('elicitation/create', { message, requestedSchema })
  return texts(`Elicitation completed: action=${String(action)}, content=${JSON.stringify(content ?? {})}`)
}
const titled = (...names: string[]) => names.map((name, i) => ({ const: `value${i + 1}`, title: name }))
const options = ['option1', 'option2', 'option3']

const tools: Readonly<Record<string, Tool<SessionCall>>> = {
  ...commonTools,
  test_tool_with_logging: {
    async call (call) {
      for (const line of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) await log(call, line)
      return texts('Logged.')
    }
  },
  test_sampling: {
    inputSchema: object({ prompt: { type: 'string' } }, ['prompt']),
    async call (call) {
      const { content } = await call.request('sampling/createMessage', { messages: [{ role: 'user', content: text(String(call.arguments['prompt'])) }], maxTokens: 100 })
      return texts(`LLM response: ${(content as { text?: string }).text ?? ''}`)
    }
  },
  test_elicitation: {
    inputSchema: object({ message: { type: 'string' } }, ['message']),
    call: async (call) => await elicit(call, String(call.arguments['message']), object({ username: { type: 'string' }, email: { type: 'string' } }, ['username', 'email']))
  },
  test_elicitation_sep1034_defaults: {
    call: async (call) => await elicit(call, 'Look at the defaults.', object({
      name: { type: 'string', default: 'John Doe' },
      age: { type: 'integer', default: 30 },
      score: { type: 'number', default: 95.5 },
      status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
      verified: { type: 'boolean', default: true }
    }))
  },
  test_elicitation_sep1330_enums: {
    call: async (call) => await elicit(call, 'Choose.', object({
      untitledSingle: { type: 'string', enum: options },
      titledSingle: { type: 'string', oneOf: titled('First', 'Second', 'Third') },
      legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['One', 'Two', 'Three'] },
      untitledMulti: { type: 'array', items: { type: 'string', enum: options } },
      titledMulti: { type: 'array', items: { anyOf: titled('First', 'Second', 'Third') } }
    }))
  },
  test_reconnection: {
    async call ({ closeStream }) {
      closeStream()
      await tick()
      return texts('The client came back for this.')
    }
  }
}

function makeServer (): Server {
  const server = new Server({ name: 'conformance-sessions', version: '1.0.0' }, {
    capabilities: { tools: { listChanged: true }, resources: { subscribe: true, listChanged: true }, prompts: { listChanged: true }, logging: {}, completions: {} }
  })
  server.setRequestHandler(types.ListToolsRequestSchema, () => listTools(tools))
  server.setRequestHandler(types.CallToolRequestSchema, async ({ params }, extra) => await toolOf(params.name).call({
    arguments: params.arguments ?? {},
    progressToken: params._meta?.progressToken,
    notify: async (method, params) => { await extra.sendNotification({ method, params } as types.ServerNotification) },
    request: async (method, params) => await extra.sendRequest({ method, params } as types.ServerRequest, types.ResultSchema) as Result,
    closeStream: () => { extra.closeSSEStream?.() }
  }))
  server.setRequestHandler(types.ListPromptsRequestSchema, () => listPrompts(prompts))
  server.setRequestHandler(types.GetPromptRequestSchema, ({ params }) => found(prompts[params.name]).get(params.arguments ?? {}))
  server.setRequestHandler(types.ListResourcesRequestSchema, () => resources)
  server.setRequestHandler(types.ListResourceTemplatesRequestSchema, () => resourceTemplates)
  server.setRequestHandler(types.ReadResourceRequestSchema, ({ params }) => found(readResource(params.uri)))
  server.setRequestHandler(types.SubscribeRequestSchema, () => ({}))
  server.setRequestHandler(types.UnsubscribeRequestSchema, () => ({}))
  server.setRequestHandler(types.CompleteRequestSchema, () => completion as types.CompleteResult)
  server.setRequestHandler(types.SetLevelRequestSchema, () => ({}))
  return server
}

const toolOf = (name: string) => found(tools[name])

function found<T> (thing: T | undefined): T {
  if (thing === undefined) throw new types.McpError(types.ErrorCode.InvalidParams, 'There is none of that name.')
  return thing
}

/** Keeps all events of all sessions, in the order in which they came. */
class Events implements EventStore {
  readonly #events: Array<{ readonly id: string, readonly stream: string, readonly message: types.JSONRPCMessage }> = []

  async storeEvent (stream: string, message: types.JSONRPCMessage): Promise<string> {
    const id = `${stream}_${this.#events.length}`
    this.#events.push({ id, stream, message })
    return id
  }

  async replayEventsAfter (last: string, { send }: { send: (id: string, message: types.JSONRPCMessage) => Promise<void> }): Promise<string> {
    const at = this.#events.findIndex(({ id }) => id === last)
    const stream = this.#events[at]?.stream ?? ''
    // What primes a stream is an event without a message.
    for (const event of this.#events.slice(at + 1)) if (event.stream === stream && 'jsonrpc' in event.message) await send(event.id, event.message)
    return stream
  }
}

const sessions = new Map<string, StreamableHTTPServerTransport>()
const eventStore = new Events()
const own = /^(?:http:\/\/)?(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/

async function answer (request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { host = '', origin, 'mcp-session-id': sessionId } = request.headers
  if (!own.test(host) || (origin !== undefined && !own.test(origin))) {
    response.writeHead(403).end()
    return
  }
  if (sessionId !== undefined) {
    const transport = sessions.get(String(sessionId))
    if (transport === undefined) response.writeHead(404, { 'content-type': 'application/json' }).end('{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}')
    else await transport.handleRequest(request, response)
    return
  }
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore,
    retryInterval: 500,
    onsessioninitialized: (id) => { sessions.set(id, transport) },
    onsessionclosed: (id) => { sessions.delete(id) }
  })
  await makeServer().connect(transport as unknown as Transport)
  await transport.handleRequest(request, response)
}

const server = createServer((request, response) => { answer(request, response).catch(() => { response.destroy() }) })
server.listen(Number(process.env['PORT'] ?? 0), '127.0.0.1', () => { console.log(`listening on ${JSON.stringify(server.address())}`) })
