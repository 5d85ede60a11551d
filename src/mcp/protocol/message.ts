import { folded } from './folded.ts'
import { nameMemberOf } from './methods.ts'
import { invalidRequest, McpRefusal, rpcCodes, type RpcId } from './rpc-error.ts'
import { isJsonArray, isJsonObject, type Json, type JsonObject, type JsonText, type ReaderOptions } from './strict-json.ts'

/** One JSON-RPC message from a client, as the upstream reads it too. */
export type Message =
  | { readonly kind: 'request', readonly id: RpcId, readonly method: string, readonly name: string | undefined, readonly version: string | undefined }
  | { readonly kind: 'notification', readonly method: string, readonly name: string | undefined, readonly version: string | undefined }
  | { readonly kind: 'response', readonly id: RpcId }

/** What a client calls itself (`clientInfo`, every revision). */
export interface ClientInfo {
  readonly name: string
  readonly version: string | undefined
}

export interface MessageBody {
  readonly messages: readonly Message[]
  readonly batch: boolean
  /** The bytes for the upstream: serialized again from what was parsed, never the bytes that were received. */
  readonly bytes: Buffer
  /** From `initialize`, or from the `_meta` of 2026-07-28. */
  readonly clientInfo: ClientInfo | undefined
}

const batchMax = 100
const idLengthMax = 1024
// Each name is compared with the one that decides, in any spelling.
const paramsMax = 100
const paramNameLengthMax = 1024
const versionMember = 'io.modelcontextprotocol/protocolVersion'
const clientInfoMember = 'io.modelcontextprotocol/clientInfo'
const keptObjects: ReadonlySet<string> = new Set(['params', '_meta', 'clientInfo', clientInfoMember])
const metaMembers: ReadonlySet<string> = new Set([versionMember, clientInfoMember, 'name', 'version'])
const isMeta = (container: string | undefined) => container !== undefined && container !== 'params'
const calls: ReadonlySet<string> = new Set(['jsonrpc', 'id', 'method', 'params'])
const answers: ReadonlySet<string> = new Set(['jsonrpc', 'id', 'result', 'error'])

/**
 * The values of a body that are kept: the batch, the members of its messages, their params, and the members of those that are read. For all
 * other values only the names are compared, to find duplicates.
 */
export const messageOutline: ReaderOptions = {
  keeps: (kind, depth, name) => kind === 'array' ? depth === 1 : name === undefined ? depth <= 2 : keptObjects.has(name) && depth <= 5,
  wants: (container, name) => !isMeta(container) || metaMembers.has(name)
}

export function readMessages ({ value, bytes }: JsonText): MessageBody {
  if (!isJsonArray(value)) return { messages: [readMessage(value)], batch: false, bytes, clientInfo: readClientInfo(value) }
  if (value.length === 0) throw invalidRequest('The batch is empty.')
  if (value.length > batchMax) throw invalidRequest(`The batch has more than ${batchMax} messages. Send them in several.`)
  return { messages: value.map(readMessage), batch: true, bytes, clientInfo: undefined }
}

function readClientInfo (value: Json): ClientInfo | undefined {
  const params = isJsonObject(value) ? value.get('params') : undefined
  if (!isJsonObject(params)) return undefined
  const meta = params.get('_meta')
  const info = params.get('clientInfo') ?? (isJsonObject(meta) ? meta.get(clientInfoMember) : undefined)
  if (!isJsonObject(info)) return undefined
  const [name, version] = [info.get('name'), info.get('version')]
  return typeof name === 'string' ? { name, version: typeof version === 'string' ? version : undefined } : undefined
}

function readMessage (message: Json): Message {
  if (!isJsonObject(message)) throw invalidRequest('A message must be a JSON object.')
  const id = readId(message)
  if (message.get('jsonrpc') !== '2.0') throw invalidRequest('A message must have the member "jsonrpc" with the value "2.0".', id)
  return message.has('method') ? readCall(message, id) : readAnswer(message, id)
}

// Many parsers ignore the case of member names. Here a member has exactly its own spelling, or the message is refused.
function allowOnly (known: ReadonlySet<string>, message: JsonObject, id: RpcId | undefined): void {
  for (const name of message.keys()) {
    if (!known.has(name)) throw invalidRequest(`A message of this kind may have only the members ${[...known].join(', ')}.`, id)
  }
}

function readId (message: JsonObject): RpcId | undefined {
  const id = message.get('id')
  if (id === undefined) return undefined
  if (typeof id === 'string' && id.length <= idLengthMax) return id
  if (typeof id === 'number' && Number.isSafeInteger(id)) return id
  throw invalidRequest(`An "id" must be a string of up to ${idLengthMax} characters or an integer of up to 53 bits.`)
}

function readCall (message: JsonObject, id: RpcId | undefined): Message {
  allowOnly(calls, message, id)
  const method = message.get('method')
  if (typeof method !== 'string') throw invalidRequest('The member "method" must be a string.', id)
  const params = message.get('params') ?? new Map<string, Json>()
  if (!isJsonObject(params)) throw invalidParams('The member "params" must be an object.', id)
  const name = readName(method, params, id)
  const version = readVersion(params, id)
  return id === undefined ? { kind: 'notification', method, name, version } : { kind: 'request', id, method, name, version }
}

function readAnswer (message: JsonObject, id: RpcId | undefined): Message {
  allowOnly(answers, message, id)
  if (id === undefined || message.has('result') === message.has('error')) {
    throw invalidRequest('A message must have a "method", or an "id" and either a "result" or an "error".', id)
  }
  return { kind: 'response', id }
}

function readName (method: string, params: JsonObject, id: RpcId | undefined): string | undefined {
  const member = nameMemberOf(method)
  if (member === undefined) return undefined
  if (params.size > paramsMax) throw invalidParams(`The params have more than ${paramsMax} members. Put the input of a tool into "arguments".`, id)
  for (const other of params.keys()) {
    if (other.length > paramNameLengthMax) throw invalidParams(`The name of a member of the params is longer than ${paramNameLengthMax} characters.`, id)
    if (other !== member && folded(other) === folded(member)) throw invalidParams(`The params must have "${member}" once, in exactly this spelling.`, id)
  }
  const name = params.get(member)
  if (typeof name !== 'string') throw invalidParams(`The params of "${method}" must have a string "${member}".`, id)
  return name
}

function readVersion (params: JsonObject, id: RpcId | undefined): string | undefined {
  const meta = params.get('_meta')
  const version = isJsonObject(meta) ? meta.get(versionMember) : undefined
  if (version === undefined || typeof version === 'string') return version
  throw invalidParams(`The member "${versionMember}" must be a string.`, id)
}

function invalidParams (message: string, id: RpcId | undefined): McpRefusal {
  return new McpRefusal({ status: 400, code: rpcCodes.invalidParams, message, id })
}
