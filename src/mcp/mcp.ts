import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { logOf } from '../http/logging.ts'
import { readCall } from './client-call.ts'
import { forward } from './forward.ts'
import type { Gateway } from './gateway.ts'
import { methodNotAllowed, toRefusal, unforeseen, unsupportedMediaType } from './gateway-refusals.ts'
import { GatewayRequest } from './gateway-request.ts'
import { rpcErrorBody } from './protocol/rpc-error.ts'
import type { Upstream } from './upstream.ts'

/** The MCP endpoints: streamable HTTP of 2026-07-28 and of the revisions before it. */
export const mcp: FastifyPluginAsync<{ gateway: Gateway }> = async (app, { gateway }) => {
  app.decorateRequest('gatewayRequest')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', async (request: FastifyRequest, stream: FastifyRequest['raw']) => {
    if (namesOtherCharset(request.headers['content-type'])) throw unsupportedMediaType()
    return await request.gatewayRequest.receiveBody(stream)
  })
  app.setErrorHandler(tellRefusal)
  for (const upstream of gateway.upstreams) {
    // Clients and people write the path with and without the slash.
    for (const path of [upstream.path, `${upstream.path}/`]) serve(app, { gateway, upstream, path })
  }
}

// An upstream, or a filter in front, might read a body as the charset that its type names, and the gateway reads UTF-8.
function namesOtherCharset (contentType: string | undefined): boolean {
  return /;\s*charset\s*=\s*(?!"?utf-?8"?\s*(;|$))/i.test(contentType ?? '')
}

interface Served {
  readonly gateway: Gateway
  readonly upstream: Upstream
  readonly path: string
}

function serve (app: FastifyInstance, { gateway, upstream, path }: Served): void {
  const enter = (request: FastifyRequest, reply: FastifyReply) => {
    request.gatewayRequest = new GatewayRequest({ gateway, upstream, request, reply })
  }
  app.route({
    method: ['POST', 'GET', 'DELETE'],
    url: path,
    exposeHeadRoute: false,
    schema: { tags: ['mcp'], summary: `The MCP server "${upstream.name}", for keys (streamable HTTP)`, security: [{ key: [] }], hide: path !== upstream.path },
    onRequest: async function authenticate (request, reply) {
      enter(request, reply)
      gateway.origins.welcome(request, reply)
      await request.gatewayRequest.authenticate()
    },
    handler: async function forwardCall ({ gatewayRequest }, reply) {
      if (!gatewayRequest.isAuthenticated()) throw new Error('A request went past the hook that authenticates it.')
      const { call, body } = await readCall(gatewayRequest)
      await forward(gatewayRequest, call, body)
      return reply
    }
  })
  app.route({
    method: 'OPTIONS',
    url: path,
    schema: { hide: true },
    // In onRequest, before a body is read: a CORS preflight has none.
    onRequest: async function preflight (request, reply) {
      return gateway.origins.answerPreflight(request, reply)
    },
    handler: async () => {}
  })
  app.route({
    method: ['HEAD', 'PUT', 'PATCH'],
    url: path,
    schema: { hide: true },
    onRequest: async function refuseMethod (_request, reply) {
      reply.header('allow', 'POST, GET, DELETE')
      throw methodNotAllowed('POST, GET or DELETE')
    },
    handler: async () => {}
  })
}

function tellRefusal (error: Error, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { gatewayRequest } = request as { gatewayRequest?: GatewayRequest }
  const refusal = gatewayRequest?.call?.refusalOf(error) ?? toRefusal(error, gatewayRequest?.id)
  if (refusal === undefined) logOf(request).error({ reason: error.name }, 'the gateway failed')
  const told = refusal ?? unforeseen(gatewayRequest?.id)
  gatewayRequest?.refused(told)
  for (const name of ['mcp-session-id', 'content-encoding', 'retry-after']) reply.removeHeader(name)
  return reply.code(told.status)
    .headers({ ...told.headers, 'cache-control': 'no-store', 'content-type': 'application/json; charset=utf-8' })
    .send(JSON.stringify(rpcErrorBody(told)))
}
