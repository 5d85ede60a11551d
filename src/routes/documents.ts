import { randomBytes } from 'node:crypto'
import scalar from '@scalar/fastify-api-reference'
import type { FastifyPluginAsync } from 'fastify'

/** `/openapi.json`, and pages made of it that load nothing from elsewhere. */
export const documentRoutes: FastifyPluginAsync = async (app) => {
  app.addHook('onRequest', app.refuseQueryCredentials)

  // Made once: it is the same for everyone, and costs more than a hundred verifications.
  let document: Buffer | undefined
  app.get('/openapi.json', { config: { needsNoStore: true }, schema: { hide: true } }, async function openapi (_request, reply) {
    document ??= Buffer.from(JSON.stringify(app.swagger()))
    return await reply.type('application/json; charset=utf-8').send(document)
  })

  const nonce = randomBytes(16).toString('base64')
  app.addHook('onSend', async (_request, reply) => {
    if (!String(reply.getHeader('content-type')).startsWith('text/html')) return
    reply.header('content-security-policy', [
      "default-src 'none'", `script-src 'self' 'nonce-${nonce}'`, "style-src 'self' 'unsafe-inline'", "img-src 'self' data:",
      "font-src 'self' data:", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"
    ].join('; '))
    reply.header('referrer-policy', 'no-referrer')
  })
  await app.register(scalar, {
    routePrefix: '/docs',
    configuration: {
      url: '/openapi.json',
      pageTitle: 'Navis Keys',
      nonce,
      withDefaultFonts: false,
      telemetry: false,
      // What follows would lead people, and the document, to somebody else's service.
      hideClientButton: true,
      showDeveloperTools: 'never',
      showToolbar: 'never',
      agent: { disabled: true },
      mcp: { disabled: true }
    } as object
  })
}
