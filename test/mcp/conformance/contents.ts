/*
 * What the scenarios of the conformance suite ask a server for: its tools, prompts and resources have the names and the texts that the
 * suite looks for. Both reference servers serve them, each in its generation of the protocol.
 */
export type Result = Readonly<Record<string, unknown>>

export interface Call {
  readonly arguments: Readonly<Record<string, unknown>>
  readonly progressToken: string | number | undefined
  notify (method: string, params: Result): Promise<void>
}

export interface Tool<C extends Call> {
  readonly inputSchema?: Result
  call (call: C): Result | Promise<Result>
}

export const text = (text: string) => ({ type: 'text', text })
export const texts = (...lines: string[]): Result => ({ content: lines.map(text) })
export const tick = async () => await new Promise((resolve) => { setTimeout(resolve, 20) })

// One red pixel, and an empty sound.
const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=='
const wav = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA='
const image = { type: 'image', data: png, mimeType: 'image/png' }
const embedded = (uri: string) => ({ type: 'resource', resource: { uri, mimeType: 'text/plain', text: 'A text that was embedded.' } })

// Whatever a gateway leaves out or writes anew here, the suite finds.
const everyKeyword: Result = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: { address: { $anchor: 'addressDef', type: 'object', properties: { street: { type: 'string' }, city: { type: 'string' } } } },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' }
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false
}

export const commonTools: Readonly<Record<string, Tool<Call>>> = {
  test_simple_text: { call: () => texts('This is a simple text response for testing.') },
  test_image_content: { call: () => ({ content: [image] }) },
  test_audio_content: { call: () => ({ content: [{ type: 'audio', data: wav, mimeType: 'audio/wav' }] }) },
  test_embedded_resource: { call: () => ({ content: [embedded('test://embedded-resource')] }) },
  test_multiple_content_types: { call: () => ({ content: [text('Of each kind one:'), image, embedded('test://mixed-content-resource')] }) },
  test_error_handling: { call: () => ({ ...texts('This tool intentionally returns an error for testing'), isError: true }) },
  test_tool_with_progress: {
    async call ({ progressToken = 0, notify }) {
      for (const progress of [0, 50, 100]) {
        await notify('notifications/progress', { progressToken, progress, total: 100 })
        await tick()
      }
      return texts('Done.')
    }
  },
  json_schema_2020_12_tool: { inputSchema: everyKeyword, call: () => texts('Called.') }
}

export function listTools (tools: Readonly<Record<string, Pick<Tool<Call>, 'inputSchema'>>>): Result {
  return { tools: Object.entries(tools).map(([name, { inputSchema }]) => ({ name, description: `The suite calls ${name}.`, inputSchema: inputSchema ?? { type: 'object', properties: {} } })) }
}

const user = (content: unknown) => ({ role: 'user', content })

interface Prompt {
  readonly arguments?: readonly string[]
  get (args: Readonly<Record<string, unknown>>): Result
}

export const prompts: Readonly<Record<string, Prompt>> = {
  test_simple_prompt: { get: () => ({ messages: [user(text('This is a simple prompt for testing.'))] }) },
  test_prompt_with_arguments: {
    arguments: ['arg1', 'arg2'],
    get: ({ arg1, arg2 }) => ({ messages: [user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))] })
  },
  test_prompt_with_embedded_resource: {
    arguments: ['resourceUri'],
    get: ({ resourceUri }) => ({ messages: [user(embedded(String(resourceUri))), user(text('Read what is embedded above.'))] })
  },
  test_prompt_with_image: { get: () => ({ messages: [user(image), user(text('Look at the image above.'))] }) }
}

export function listPrompts (names: Readonly<Record<string, Pick<Prompt, 'arguments'>>>): Result {
  return { prompts: Object.entries(names).map(([name, prompt]) => ({ name, description: `The suite gets ${name}.`, arguments: prompt.arguments?.map((argument) => ({ name: argument, description: `Is ${argument}.`, required: true })) })) }
}

export const resources: Result = {
  resources: [
    { uri: 'test://static-text', name: 'static-text', mimeType: 'text/plain' },
    { uri: 'test://static-binary', name: 'static-binary', mimeType: 'image/png' },
    { uri: 'test://watched-resource', name: 'watched-resource', mimeType: 'text/plain' }
  ]
}

export const resourceTemplates: Result = {
  resourceTemplates: [{ uriTemplate: 'test://template/{id}/data', name: 'template', mimeType: 'application/json' }]
}

/** `undefined` where there is no such resource. */
export function readResource (uri: string): Result | undefined {
  const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1]
  if (id !== undefined) return { contents: [{ uri, mimeType: 'application/json', text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }] }
  if (uri === 'test://static-binary') return { contents: [{ uri, mimeType: 'image/png', blob: png }] }
  const known = uri === 'test://static-text' || uri === 'test://watched-resource'
  return known ? { contents: [{ uri, mimeType: 'text/plain', text: 'This is the content of the static text resource.' }] } : undefined
}

export const completion: Result = { completion: { values: [], total: 0, hasMore: false } }
