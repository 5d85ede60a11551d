import fp from 'fastify-plugin'
import type { Scrubber } from '../http/scrubber.ts'
import { secretsInRequests, type SecretsInRequests } from '../http/secrets-in-requests.ts'

declare module 'fastify' {
  interface FastifyInstance extends SecretsInRequests {}
}

export const secretRefusal = fp<{ scrubber: Scrubber }>(async (app, { scrubber }) => {
  const { holdsSecret, refuseQueryCredentials, refuseQuery, refuseStoredSecrets } = secretsInRequests(scrubber)
  app.decorate('holdsSecret', holdsSecret)
  app.decorate('refuseQueryCredentials', refuseQueryCredentials)
  app.decorate('refuseQuery', refuseQuery)
  app.decorate('refuseStoredSecrets', refuseStoredSecrets)
}, { name: 'secret-refusal', fastify: '5.x' })
