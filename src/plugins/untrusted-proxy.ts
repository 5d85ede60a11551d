import fp from 'fastify-plugin'

/** Logs once that an untrusted proxy sent X-Forwarded-For: all its clients then share one address and its budgets. */
export const untrustedProxy = fp(async (app) => {
  let isSaid = false
  app.addHook('onRequest', (request, _reply, done) => {
    // `ips` has more than the peer only if the peer is trusted.
    if (!isSaid && request.headers['x-forwarded-for'] !== undefined && (request.ips?.length ?? 1) < 2) {
      isSaid = true
      app.log.warn({ peer: request.ip }, 'X-Forwarded-For was ignored because its sender is not in TRUSTED_PROXIES: all clients behind that sender count as one address')
    }
    done()
  })
}, { name: 'untrusted-proxy', fastify: '5.x' })
