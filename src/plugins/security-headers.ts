import fp from 'fastify-plugin'

/** Every answer is data for programs: no caching, no content sniffing, no framing. */
export const securityHeaders = fp(async (app) => {
  app.addHook('onRequest', (_request, reply, done) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff')
    done()
  })
}, { name: 'security-headers', fastify: '5.x' })
