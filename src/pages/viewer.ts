import type { FastifyRequest } from 'fastify'
import type { Session } from '../core/sessions.ts'
import type { Viewer } from './views/page.ts'

/** The session of a request. Only for routes with `requirePerson`. */
export function sessionOf (request: FastifyRequest): Session {
  if (request.pageSession === null) throw new Error('A page for people who are signed in is not behind requirePerson.')
  return request.pageSession
}

export function viewerOf ({ person, formToken }: Session): Viewer {
  const { name, workspaceId, ownerId, admin } = person
  return { name, workspaceId, ownerId, admin, formToken }
}
