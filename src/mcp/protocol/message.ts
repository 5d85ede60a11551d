import { nameMemberOf } from './methods.ts'
import { invalidRequest, McpRefusal, rpcCodes, type RpcId } from './rpc-error.ts'
import { JsonRefused, readStrictJson, type Json, type JsonObject } from './strict-json.ts'

/** One JSON-RPC message from a client, as the upstream will read it too. */
export type Message =
  | { readonly kind: 'request', readonly id: RpcId, readonly method: string, readonly name: string | undefined, readonly version: string | undefined }
  | { readonly kind: 'notification', readonly method: string, readonly name: string | undefined, readonly version: string | undefined }
  | { readonly kind: 'response', readonly id: RpcId }

export interface MessageBody {
  readonly messages: readonly Message[]
  readonly batch: boolean
  /** What goes upstream: written anew from what was read, never the bytes that came. */
  readonly text: string
}

const batchMax = 100
const idLengthMax = 1024
const versionMember = 'io.modelcontextprotocol/protocolVersion'
const calls: ReadonlySet<string> = new Set(['jsonrpc', 'id', 'method', 'params'])
const answers: ReadonlySet<string> = new Set(['jsonrpc', 'id', 'result', 'error'])

export function readMessages (bytes: Uint8Array): MessageBody {
  const { value, text } = read(bytes)
  if (!Array.isArray(value)) return { messages: [readMessage(value)], batch: false, text }
  if (value.length === 0) throw invalidRequest('The batch is empty.')
  if (value.length > batchMax) throw invalidRequest(`The batch has more than ${batchMax} messages. Send them in several.`)
  return { messages: value.map(readMessage), batch: true, text }
}

function read (bytes: Uint8Array) {
  try {
    return readStrictJson(bytes)
  } catch (error) {
    if (error instanceof JsonRefused) throw new McpRefusal({ status: 400, code: rpcCodes.parse, message: error.message })
    throw error
  }
}

function readMessage (value: Json): Message {
  if (!(value instanceof Map)) throw invalidRequest('A message is a JSON object.')
  const message = value as JsonObject
  const id = readId(message)
  if (message.get('jsonrpc') !== '2.0') throw invalidRequest('A message has the member "jsonrpc" with the value "2.0".', id)
  return message.has('method') ? readCall(message, id) : readAnswer(message, id)
}

// Many parsers find members whatever their case; here a member is known in exactly its own letters or refuses the message.
function allowOnly (known: ReadonlySet<string>, message: JsonObject, id: RpcId | undefined): void {
  for (const name of message.keys()) {
    if (!known.has(name)) throw invalidRequest(`A message of this kind has no members but ${[...known].join(', ')}.`, id)
  }
}

function readId (message: JsonObject): RpcId | undefined {
  const id = message.get('id')
  if (id === undefined) return undefined
  if (typeof id === 'string' && id.length <= idLengthMax) return id
  if (typeof id === 'number' && Number.isSafeInteger(id)) return id
  throw invalidRequest(`An "id" is a string of up to ${idLengthMax} characters or an integer of up to 53 bits.`)
}

function readCall (message: JsonObject, id: RpcId | undefined): Message {
  allowOnly(calls, message, id)
  const method = message.get('method')
  if (typeof method !== 'string') throw invalidRequest('The member "method" is a string.', id)
  const params = message.get('params') ?? new Map<string, Json>()
  if (!(params instanceof Map)) throw invalidParams('MCP passes "params" as an object.', id)
  const name = readName(method, params, id)
  const version = readVersion(params, id)
  return id === undefined ? { kind: 'notification', method, name, version } : { kind: 'request', id, method, name, version }
}

function readAnswer (message: JsonObject, id: RpcId | undefined): Message {
  allowOnly(answers, message, id)
  if (id === undefined || message.has('result') === message.has('error')) {
    throw invalidRequest('A message has a "method", or an "id" and either a "result" or an "error".', id)
  }
  return { kind: 'response', id }
}

function readName (method: string, params: JsonObject, id: RpcId | undefined): string | undefined {
  const member = nameMemberOf(method)
  if (member === undefined) return undefined
  for (const other of params.keys()) {
    if (other !== member && folded(other) === folded(member)) throw invalidParams(`Write "${member}" in exactly these letters, once.`, id)
  }
  const name = params.get(member)
  if (typeof name !== 'string') throw invalidParams(`"${method}" has a string "${member}" in its params.`, id)
  return name
}

function readVersion (params: JsonObject, id: RpcId | undefined): string | undefined {
  const meta = params.get('_meta')
  const version = meta instanceof Map ? (meta as JsonObject).get(versionMember) : undefined
  if (version === undefined || typeof version === 'string') return version
  throw invalidParams(`The member "${versionMember}" is a string.`, id)
}

// As alike as the most liberal reader finds two names: Go's folds U+017F to "s" and U+212A to "k", others pass over
// underscores, hyphens and spaces.
function folded (name: string): string {
  return name.normalize('NFKC').toUpperCase().toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, '')
}

function invalidParams (message: string, id: RpcId | undefined): McpRefusal {
  return new McpRefusal({ status: 400, code: rpcCodes.invalidParams, message, id })
}
