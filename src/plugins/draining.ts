import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import fp from 'fastify-plugin'
import { unavailable } from '../core/errors.ts'
import { sendProblem } from './problems.ts'

declare module 'fastify' {
  interface FastifyInstance {
    readonly draining: boolean
    /** From now on `/readyz` answers 503 and every answer closes its connection; requests are still answered. */
    drain (): void
    /** Answers all requests that still wait for their answer with 503 `unavailable`, because there is no more time. */
    refuseUnanswered (): void
  }
}

// A client learns from its next answer that its kept connection ends. An idle connection is closed after this time; a request
// that is sent at that moment is lost, so a later time is better.
const idleMaxMs = 3000
const lookEveryMs = 50

/**
 * Must be registered last: the close hooks of other plugins, such as ending streams, must not wait for clients with
 * kept connections.
 */
export const draining = fp(async (app) => {
  let isDraining = false
  const closeAfterAnswer = (_request: IncomingMessage, answer: ServerResponse): void => { answer.shouldKeepAlive = false }

  app.decorate('draining', { getter: () => isDraining })
  app.decorate('drain', () => {
    if (isDraining) return
    isDraining = true
    // Server listeners instead of hooks: they cost nothing until the service drains, and also see requests that Fastify itself refuses.
    app.server.prependListener('request', closeAfterAnswer)
    app.server.prependListener('checkContinue', closeAfterAnswer)
    for (const { raw } of app.openReplies()) if (!raw.headersSent) raw.shouldKeepAlive = false
  })
  app.decorate('refuseUnanswered', () => {
    for (const reply of app.openReplies()) {
      if (!reply.sent && !reply.raw.headersSent) sendProblem(unavailable('The service stopped before the request was finished. Try again.'), reply.request, reply.header('connection', 'close'))
    }
  })
  app.addHook('preClose', async () => {
    const isDrained = isDraining
    isDraining = true
    if (!isDrained || !app.server.listening) return
    for (const end = performance.now() + idleMaxMs; performance.now() < end && await hasConnections();) await sleep(lookEveryMs)
  })

  async function hasConnections (): Promise<boolean> {
    return await new Promise((resolve) => { app.server.getConnections((_error, count) => { resolve(count > 0) }) })
  }
}, { name: 'draining', dependencies: ['problems', 'request-end'], fastify: '5.x' })
