import fp from 'fastify-plugin'

/** Every answer is data for programs: never kept by a cache, never sniffed, never framed. */
export const securityHeaders = fp(async (app) => {
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
    reply.header('x-content-type-options', 'nosniff')
    done(null, payload)
  })
}, { name: 'security-headers', fastify: '5.x' })
