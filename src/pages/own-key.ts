import type { FastifyRequest } from 'fastify'
import { KeysError } from '../core/errors.ts'
import type { ManagedKey } from '../core/key-record.ts'
import type { KeyService } from '../core/key-service.ts'
import { mayManage } from '../core/person.ts'
import { sessionOf } from './viewer.ts'

/** The key of the URL. Throws `not_found` for a key of another person, as for one that does not exist. */
export async function ownKeyOf (request: FastifyRequest<{ Params: { keyId: string } }>, service: KeyService): Promise<ManagedKey> {
  const { person } = sessionOf(request)
  const key = await service.get({ workspaceId: person.workspaceId, keyId: request.params.keyId })
  if (!mayManage(person, key)) throw new KeysError('not_found', { detail: 'There is no such key.' })
  return key
}
