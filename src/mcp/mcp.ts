import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { rpcErrorBody } from './protocol/rpc-error.ts'
import { admit } from './admit.ts'
import type { Gateway } from './gateway.ts'
import { methodNotAllowed, toRefusal, unforeseen } from './gateway-refusals.ts'
import { forward } from './forward.ts'
import { readCall } from './read-call.ts'
import { logOf } from '../http/logging.ts'
import type { Upstream } from './upstream.ts'
import { GatewayRequest } from './gateway-request.ts'
import { answerPreflight, welcomeOrigin } from './origins.ts'

/** The MCP endpoints: streamable HTTP of 2026-07-28 and of the revisions before it. */
export const mcp: FastifyPluginAsync<{ gateway: Gateway }> = async (app, { gateway }) => {
  app.decorateRequest('gatewayRequest')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer', bodyLimit: gateway.bodyBytesMax }, (_request, body, done) => { done(null, body) })
  app.setErrorHandler(tellRefusal)
  for (const upstream of gateway.upstreams) serve(app, gateway, upstream)
}

function serve (app: FastifyInstance, gateway: Gateway, upstream: Upstream): void {
  app.route({
    method: ['POST', 'GET', 'DELETE'],
    url: upstream.path,
    exposeHeadRoute: false,
    schema: { tags: ['mcp'], summary: `The MCP server "${upstream.name}", for keys (streamable HTTP)`, security: [{ key: [] }] },
    onRequest: async function enter (request, reply) {
      request.gatewayRequest = new GatewayRequest({ gateway, upstream, request, reply })
      welcomeOrigin(gateway, request, reply)
      await admit(gateway, request)
    },
    handler: async function pass (request, reply) {
      await forward({ gateway, upstream, request, reply, call: readCall(gateway, upstream, request) })
      return reply
    }
  })
  app.route({
    method: 'OPTIONS',
    url: upstream.path,
    schema: { hide: true },
    handler: async function preflight (request, reply) {
      return answerPreflight(gateway, request, reply)
    }
  })
  app.route({
    method: ['HEAD', 'PUT', 'PATCH'],
    url: upstream.path,
    schema: { hide: true },
    handler: async function refuseMethod (_request, reply) {
      reply.header('allow', 'POST, GET, DELETE')
      throw methodNotAllowed('POST, GET or DELETE')
    }
  })
}

function tellRefusal (error: Error, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const visit: GatewayRequest | undefined = request.gatewayRequest
  const refusal = visit?.call?.refusalOf(error) ?? toRefusal(error, visit?.id)
  if (refusal === undefined) logOf(request).error({ reason: error.name }, 'the gateway failed')
  const told = refusal ?? unforeseen(visit?.id)
  visit?.refused(told)
  for (const name of ['mcp-session-id', 'content-encoding']) reply.removeHeader(name)
  return reply.code(told.status)
    .headers({ ...told.headers, 'cache-control': 'no-store', 'content-type': 'application/json; charset=utf-8' })
    .send(JSON.stringify(rpcErrorBody(told)))
}
