import fp from 'fastify-plugin'
import { unavailable } from '../core/errors.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route answers before the database can be reached for the first time. */
    readonly needsNoStore?: boolean
  }
}

/** The service listens before it can reach its database. Until then every route that needs it answers 503. */
export const starting = fp(async (app) => {
  const { apiKeys: keys } = app
  app.addHook('onRequest', (request, _reply, done) => {
    if (keys.isStarted || request.is404 || request.routeOptions.config.needsNoStore === true) done()
    else done(unavailable('The service is starting and its database has not answered yet. Try again.'))
  })
}, { name: 'starting', dependencies: ['api-keys', 'problems'], fastify: '5.x' })
