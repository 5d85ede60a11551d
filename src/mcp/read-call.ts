import type { FastifyRequest } from 'fastify'
import type { KeyRecord } from '../core/key-record.ts'
import { readMessages, type Message } from './protocol/message.ts'
import { generationOf, mirroredHeaders, protocolVersion, type Generation } from './protocol/protocol.ts'
import { invalidRequest } from './protocol/rpc-error.ts'
import type { Gateway } from './gateway.ts'
import { methodNotAllowed, unknownSession } from './gateway-refusals.ts'
import type { Upstream } from './upstream.ts'

/** What a client asks, read once; the upstream gets this and nothing else of what came. */
export interface ReadCall {
  readonly messages: readonly Message[]
  /** `undefined` for GET and DELETE, which have no body. */
  readonly text: string | undefined
  readonly generation: Generation
  /** Headers that mirror the body, and the upstream's session. */
  readonly headers: Readonly<Record<string, string>>
  readonly ownSession: boolean
}

export function readCall (gateway: Gateway, upstream: Upstream, request: FastifyRequest): ReadCall {
  const generation = generationOf(protocolVersion(request.headers))
  const body = request.method === 'POST' ? readMessages(bodyOf(request)) : undefined
  const { gatewayRequest } = request
  gatewayRequest.messages = body?.messages ?? []
  if (body === undefined && generation === 'modern') throw methodNotAllowed('POST')
  const mirrored = body === undefined ? versionOf(request) : mirroredHeaders(body, request.headers)
  const session = generation === 'modern' ? undefined : openedSession(gateway, upstream, request)
  return {
    messages: gatewayRequest.messages,
    text: body?.text,
    generation,
    headers: { ...mirrored, ...(session === undefined ? {} : { 'mcp-session-id': session }) },
    ownSession: session !== undefined
  }
}

function bodyOf (request: FastifyRequest): Uint8Array {
  if (request.headers['content-encoding'] !== undefined) throw Object.assign(new Error('The body is compressed.'), { statusCode: 415 })
  if (!(request.body instanceof Uint8Array)) throw invalidRequest('The body is empty. Send a JSON-RPC message.')
  return request.body
}

function versionOf (request: FastifyRequest): Record<string, string> {
  return request.headers['mcp-protocol-version'] === undefined ? {} : { 'mcp-protocol-version': protocolVersion(request.headers) }
}

function openedSession (gateway: Gateway, upstream: Upstream, request: FastifyRequest): string | undefined {
  const sealed = request.headers['mcp-session-id']
  if (sealed === undefined) return undefined
  const { key, id } = request.gatewayRequest
  const session = typeof sealed === 'string' ? gateway.seal.open(sealed, upstream.name, (key as KeyRecord).id) : undefined
  if (session === undefined) throw unknownSession(id)
  return session
}
