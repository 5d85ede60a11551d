import { randomUUID } from 'node:crypto'
import { createServer, type RequestListener } from 'node:http'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { CLIENT_CAPABILITIES_META_KEY, createMcpHandler, createRequestStateCodec, inputRequired, MissingRequiredClientCapabilityError, ProtocolError, ProtocolErrorCode, Server, type ClientCapabilities, type ServerContext } from '@modelcontextprotocol/server'
import { commonTools, completion, listPrompts, listTools, prompts as commonPrompts, readResource, resources, resourceTemplates, text, texts, tick, type Call, type Result, type Tool } from './contents.ts'

/*
 * The reference server of 2026-07-28, on the official SDK 2: stateless, with results that ask for input, subscriptions and cache
 * hints, and the protection of a server on localhost. Prints its port.
 */
interface ModernCall extends Call {
  readonly context: ServerContext
}

const state = createRequestStateCodec({ key: randomUUID() })
const object = (...names: string[]) => ({ type: 'object' as const, properties: Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])), required: names })
const elicit = (message: string, ...names: string[]) => inputRequired.elicit({ message, requestedSchema: object(...names) })
const sample = (question: string) => inputRequired.createMessage({ messages: [{ role: 'user', content: { type: 'text', text: question } }], maxTokens: 100 })

/** What the client answered under `key`, where it is what was asked for. */
function accepted ({ mcpReq: { inputResponses } }: ServerContext, key: string, name: string): string | undefined {
  const response = inputResponses?.[key] as { action?: string, content?: Record<string, unknown> } | undefined
  const value = response?.action === 'accept' ? response.content?.[name] : undefined
  return typeof value === 'string' ? value : undefined
}

const answered = ({ mcpReq: { inputResponses } }: ServerContext, ...keys: string[]) => keys.every((key) => inputResponses?.[key] !== undefined)

const tools: Readonly<Record<string, Tool<ModernCall>>> = {
  ...commonTools,
  test_missing_capability: {
    call () { throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { sampling: {} } }) }
  },
  test_streaming_elicitation: {
    async call ({ notify, progressToken = 'none' }) {
      await notify('notifications/progress', { progressToken, progress: 1, total: 2 })
      await tick()
      return texts('Streamed.')
    }
  },
  test_logging_tool: {
    async call ({ context }) {
      await context.mcpReq.log('info', 'Only for who asked for it.')
      return texts('Logged.')
    }
  },
  test_trigger_tool_change: { call: () => { handler.notify.toolsChanged(); return texts('Told.') } },
  test_trigger_prompt_change: { call: () => { handler.notify.promptsChanged(); return texts('Told.') } },
  test_input_required_result_elicitation: {
    call ({ context }) {
      const name = accepted(context, 'user_name', 'name')
      return name === undefined ? inputRequired({ inputRequests: { user_name: elicit('What is your name?', 'name') } }) : texts(`Hello, ${name}!`)
    }
  },
  test_input_required_result_sampling: {
    call: ({ context }) => answered(context, 'capital_question') ? texts('It answered.') : inputRequired({ inputRequests: { capital_question: sample('What is the capital of France?') } })
  },
  test_input_required_result_list_roots: {
    call: ({ context }) => answered(context, 'client_roots') ? texts('It has roots.') : inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } })
  },
  test_input_required_result_request_state: {
    async call ({ context }) {
      const known = context.mcpReq.requestState<{ step: number }>()
      if (known?.step === 1 && answered(context, 'confirm')) return texts('state-ok')
      return inputRequired({ inputRequests: { confirm: elicit('Go on?', 'ok') }, requestState: await state.mint({ step: 1 }) })
    }
  },
  test_input_required_result_multiple_inputs: {
    async call ({ context }) {
      if (answered(context, 'user_name', 'greeting', 'client_roots')) return texts('All came.')
      return inputRequired({ inputRequests: { user_name: elicit('What is your name?', 'name'), greeting: sample('Greet.'), client_roots: inputRequired.listRoots() }, requestState: await state.mint({ step: 1 }) })
    }
  },
  test_input_required_result_multi_round: {
    async call ({ context }) {
      const { step } = context.mcpReq.requestState<{ step: number }>() ?? { step: 0 }
      if (step === 2 && answered(context, 'step2')) return texts('Three rounds.')
      if (step === 1 && answered(context, 'step1')) return inputRequired({ inputRequests: { step2: elicit('Step 2: What is your favorite color?', 'color') }, requestState: await state.mint({ step: 2 }) })
      return inputRequired({ inputRequests: { step1: elicit('Step 1: What is your name?', 'name') }, requestState: await state.mint({ step: 1 }) })
    }
  },
  test_input_required_result_tampered_state: {
    async call ({ context }) {
      if (context.mcpReq.requestState() !== undefined && answered(context, 'confirm')) return texts('integrity-ok')
      return inputRequired({ inputRequests: { confirm: elicit('Go on?', 'ok') }, requestState: await state.mint({ step: 1 }) })
    }
  },
  test_input_required_result_capabilities: {
    call ({ context }) {
      const capabilities = (context.mcpReq.envelope as Record<string, ClientCapabilities> | undefined)?.[CLIENT_CAPABILITIES_META_KEY]
      return inputRequired({
        inputRequests: {
          ...(capabilities?.elicitation === undefined ? {} : { elicited: elicit('What is your name?', 'name') }),
          ...(capabilities?.sampling === undefined ? {} : { sampled: sample('Greet.') })
        }
      })
    }
  }
}

const contextPrompt = 'test_input_required_result_prompt'

function getPrompt (name: string, args: Readonly<Record<string, unknown>>, context: ServerContext): Result {
  if (name !== contextPrompt) return found(commonPrompts[name]).get(args)
  const given = accepted(context, 'user_context', 'context')
  return given === undefined
    ? inputRequired({ inputRequests: { user_context: elicit('What context should the prompt use?', 'context') } })
    : { messages: [{ role: 'user', content: text(given) }] }
}

function found<T> (thing: T | undefined): T {
  if (thing === undefined) throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'There is none of that name.')
  return thing
}

const cached = { ttlMs: 300_000, cacheScope: 'public' as const }

function makeServer (): Server {
  const server = new Server({ name: 'conformance-modern', version: '1.0.0' }, {
    capabilities: { tools: { listChanged: true }, resources: {}, prompts: { listChanged: true }, logging: {}, completions: {} },
    requestState: { verify: state.verify },
    cacheHints: { 'tools/list': cached, 'prompts/list': cached, 'resources/list': cached, 'resources/templates/list': cached, 'resources/read': cached }
  })
  server.setRequestHandler('tools/list', () => listTools(tools) as never)
  server.setRequestHandler('tools/call', async ({ params }, context) => await found(tools[params.name]).call({
    arguments: params.arguments ?? {},
    progressToken: context.mcpReq._meta?.progressToken,
    notify: async (method, params) => { await context.mcpReq.notify({ method, params }) },
    context
  }) as never)
  server.setRequestHandler('prompts/list', () => listPrompts({ ...commonPrompts, [contextPrompt]: {} }) as never)
  server.setRequestHandler('prompts/get', ({ params }, context) => getPrompt(params.name, params.arguments ?? {}, context) as never)
  server.setRequestHandler('resources/list', () => resources as never)
  server.setRequestHandler('resources/templates/list', () => resourceTemplates as never)
  server.setRequestHandler('resources/read', ({ params }) => {
    const read = readResource(params.uri)
    if (read === undefined) throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'There is no such resource.', { uri: params.uri })
    return read as never
  })
  server.setRequestHandler('completion/complete', () => completion as never)
  return server
}

const own = /^(?:http:\/\/)?(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/
const handler = createMcpHandler(makeServer)
const answer = toNodeHandler(handler) as RequestListener
const server = createServer((request, response) => {
  const { host = '', origin } = request.headers
  if (!own.test(host) || (origin !== undefined && !own.test(origin))) response.writeHead(403).end()
  else answer(request, response)
})
server.listen(Number(process.env['PORT'] ?? 0), '127.0.0.1', () => { console.log(`listening on ${JSON.stringify(server.address())}`) })
