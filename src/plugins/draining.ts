import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    readonly draining: boolean
    /** From now on `/readyz` answers 503, so that no new work is sent here; everything else goes on. */
    drain (): void
  }
}

export const draining = fp(async (app) => {
  let isDraining = false
  app.decorate('draining', { getter: () => isDraining })
  app.decorate('drain', () => { isDraining = true })
  app.addHook('preClose', async () => { isDraining = true })
}, { name: 'draining', fastify: '5.x' })
