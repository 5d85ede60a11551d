import { methodNotAllowed, unknownEvent, unknownSession } from './gateway-refusals.ts'
import type { AuthenticatedRequest } from './gateway-request.ts'
import { messageOutline, readMessages, type Message } from './protocol/message.ts'
import { generationOf, isKnownVersion, mirroredHeaders, protocolVersion, unsupportedVersion, type Generation } from './protocol/protocol.ts'
import { invalidRequest } from './protocol/rpc-error.ts'

/** The parsed request of a client. The upstream gets only this, and the body serialized again from it. */
export interface ClientCall {
  readonly messages: readonly Message[]
  readonly generation: Generation
  /** Headers that mirror the body, and the session and event ids as the upstream issued them. */
  readonly headers: Readonly<Record<string, string>>
  readonly ownSession: boolean
  readonly resumes: boolean
}

interface ReadRequest {
  readonly call: ClientCall
  /** `undefined` for GET and DELETE, which have none. */
  readonly body: Buffer | undefined
}

export async function readCall (request: AuthenticatedRequest): Promise<ReadRequest> {
  const { headers, method } = request.request
  const body = method === 'POST' ? await readBody(request) : undefined
  if (!isKnownVersion(headers)) throw unsupportedVersion(headers, request.id, await request.upstream.versions())
  const generation = generationOf(protocolVersion(headers))
  if (body === undefined && generation === 'modern') throw methodNotAllowed('POST')
  const mirrored = body === undefined ? versionOf(request) : mirroredHeaders(body, headers)
  const session = generation === 'modern' ? undefined : openedSession(request)
  const lastEvent = openedEvent(request)
  return {
    call: {
      messages: request.messages,
      generation,
      headers: {
        ...mirrored,
        ...(session === undefined ? {} : { 'mcp-session-id': session }),
        ...(lastEvent === undefined ? {} : { 'last-event-id': lastEvent })
      },
      ownSession: session !== undefined,
      resumes: lastEvent !== undefined
    },
    body: body?.bytes
  }
}

async function readBody (request: AuthenticatedRequest) {
  const { headers, body } = request.request
  if (headers['content-encoding'] !== undefined) throw Object.assign(new Error('The body is compressed.'), { statusCode: 415 })
  if (!Buffer.isBuffer(body) || body.length === 0) throw invalidRequest('The body is empty. Send a JSON-RPC message.')
  // Fastify must not keep the body in memory until the answer ends, which can take hours.
  request.request.body = undefined
  const reader = await request.gateway.bodies.parse(request.key.id, body, messageOutline)
  const read = readMessages(reader.result)
  request.messages = read.messages
  request.clientInfo = loggable(read.clientInfo, request)
  return read
}

function loggable (info: ReturnType<typeof readMessages>['clientInfo'], { gateway }: AuthenticatedRequest) {
  const isPlain = (text: string) => /^[\x20-\x7e]{1,128}$/.test(text) && !gateway.keys.tokens.foundIn(text)
  if (info === undefined || !isPlain(info.name)) return undefined
  return { name: info.name, version: info.version !== undefined && isPlain(info.version) ? info.version : undefined }
}

function versionOf ({ request: { headers } }: AuthenticatedRequest): Record<string, string> {
  return headers['mcp-protocol-version'] === undefined ? {} : { 'mcp-protocol-version': protocolVersion(headers) }
}

function openedSession ({ gateway, upstream, request, key, id }: AuthenticatedRequest): string | undefined {
  const sealed = request.headers['mcp-session-id']
  if (sealed === undefined) return undefined
  const session = typeof sealed === 'string' ? gateway.sessionSeal.open(sealed, upstream.name, key.id) : undefined
  if (session === undefined) throw unknownSession(id)
  return session
}

// An upstream may store the events of all sessions together, and would then return the events of another key.
function openedEvent ({ gateway, upstream, request, key }: AuthenticatedRequest): string | undefined {
  const sealed = request.headers['last-event-id']
  if (sealed === undefined || sealed === '') return undefined
  const event = typeof sealed === 'string' ? gateway.eventSeal.open(Buffer.from(sealed, 'latin1').toString('utf8'), upstream.name, key.id) : undefined
  if (event === undefined) throw unknownEvent()
  return Buffer.from(event, 'utf8').toString('latin1')
}
