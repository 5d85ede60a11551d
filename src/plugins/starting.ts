import fp from 'fastify-plugin'
import { unavailable } from '../core/errors.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answers also before the database has answered for the first time. */
    readonly needsNoStore?: boolean
  }
}

/** The service listens before its database can be reached: until then every route that needs a store answers 503. */
export const starting = fp(async (app) => {
  const { apiKeys: keys } = app
  app.addHook('onRequest', (request, _reply, done) => {
    if (keys.isStarted || request.is404 || request.routeOptions.config.needsNoStore === true) done()
    else done(unavailable('The service is starting and its database has not answered yet. Try again.'))
  })
}, { name: 'starting', dependencies: ['api-keys', 'problems'], fastify: '5.x' })
