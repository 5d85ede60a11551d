import fp from 'fastify-plugin'

/** Every answer is data for programs: never kept by a cache, never sniffed, never framed. */
export const securityHeaders = fp(async (app) => {
  app.addHook('onRequest', (_request, reply, done) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff')
    done()
  })
}, { name: 'security-headers', fastify: '5.x' })
