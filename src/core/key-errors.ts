import { KeysError, type ErrorCode, type Fault } from './errors.ts'
import type { ExpiryFault } from './key-store.ts'

/** What people who manage keys are told when something cannot be done. */

export function invalid (faults: readonly Fault[]): KeysError {
  return new KeysError('invalid_request', { detail: 'Something in the request is not as it has to be; "errors" says what.', faults })
}

export function noSuchKey (): KeysError {
  return new KeysError('not_found', { detail: 'There is no such key in this workspace.' })
}

export function keyRevoked (): KeysError {
  return new KeysError('key_revoked', { detail: 'The key is revoked, and a revocation is for good. Make a new key instead.' })
}

export function keyExpired (): KeysError {
  return new KeysError('key_expired', { detail: 'The key has expired. Move its expiry first, or make a new key instead.' })
}

export function expiryRefused (fault: ExpiryFault): KeysError {
  const { detail, advice } = sayings(fault)
  return new KeysError('invalid_request', { detail, faults: [{ pointer: '/expires_at', detail: advice }] })
}

function sayings (fault: ExpiryFault): { detail: string, advice: string } {
  if (fault.outcome === 'expiry_past') return { detail: 'The expiry is not in the future.', advice: 'Must be in the future. To end a key now, delete it.' }
  const { maxLifetimeDays: days } = fault
  return fault.outcome === 'endless'
    ? { detail: 'A key without an expiry is against the policy.', advice: `Must be a time: the policy allows ${days} days at most. Leave it out in a create for what the policy gives.` }
    : { detail: 'The expiry is later than the policy allows.', advice: `Must be at most ${days} days after the making of the key's newest token.` }
}

const alreadyDone: Readonly<Record<'already_created' | 'already_rotated', string>> = {
  already_created: 'This Idempotency-Key has made a key already; "key_id" names it. Its token was shown once. If it is lost, revoke that key and make another with a new Idempotency-Key.',
  already_rotated: 'This Idempotency-Key has rotated the key already. The new token was shown once. If it is lost, rotate again with a new Idempotency-Key.'
}

export function already (code: ErrorCode & keyof typeof alreadyDone, keyId: string): KeysError {
  return new KeysError(code, { detail: alreadyDone[code], extra: { key_id: keyId } })
}

export function idempotencyKeyReused (): KeysError {
  return new KeysError('idempotency_key_reused', { detail: 'This Idempotency-Key came with another body before. Use a new one for every new request.' })
}
