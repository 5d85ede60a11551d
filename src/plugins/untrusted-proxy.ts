import fp from 'fastify-plugin'

/** Says once in the log that what looks like a proxy is not trusted: all that come through it then share one address and its budgets. */
export const untrustedProxy = fp(async (app) => {
  let isSaid = false
  app.addHook('onRequest', (request, _reply, done) => {
    // Beside the peer itself, addresses are only listed where the peer is trusted.
    if (!isSaid && request.headers['x-forwarded-for'] !== undefined && (request.ips?.length ?? 1) < 2) {
      isSaid = true
      app.log.warn({ peer: request.ip }, 'X-Forwarded-For came from a peer that is not in TRUSTED_PROXIES, and is not believed: all clients behind it count as one')
    }
    done()
  })
}, { name: 'untrusted-proxy', fastify: '5.x' })
