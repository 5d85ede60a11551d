import fp from 'fastify-plugin'
import { unavailable } from '../core/errors.ts'
import { sendProblem } from './problems.ts'

declare module 'fastify' {
  interface FastifyInstance {
    readonly draining: boolean
    /** From now on `/readyz` answers 503, so that no new work is sent here; everything else goes on. */
    drain (): void
    /** Answers whatever still waits for its answer with 503 `unavailable`, for its time is up. */
    refuseUnanswered (): void
  }
}

export const draining = fp(async (app) => {
  let isDraining = false
  app.decorate('draining', { getter: () => isDraining })
  app.decorate('drain', () => { isDraining = true })
  app.decorate('refuseUnanswered', () => {
    for (const reply of app.unended()) {
      if (!reply.sent && !reply.raw.headersSent) sendProblem(unavailable('The service is stopping before the request was done with. Try again.'), reply.request, reply.header('connection', 'close'))
    }
  })
  app.addHook('preClose', async () => { isDraining = true })
}, { name: 'draining', dependencies: ['problems', 'endings'], fastify: '5.x' })
