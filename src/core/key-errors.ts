import { counted } from './counted.ts'
import { KeysError, type ErrorCode, type Fault } from './errors.ts'
import type { ExpiryFault } from './key-store.ts'

/** Errors for people and programs that manage keys. */

export function invalid (faults: readonly Fault[]): KeysError {
  return new KeysError('invalid_request', { detail: 'Invalid request; see "errors".', faults })
}

export function noSuchKey (): KeysError {
  return new KeysError('not_found', { detail: 'There is no such key in this workspace.' })
}

export function keyRevoked (): KeysError {
  return new KeysError('key_revoked', { detail: 'The key is revoked, and a revocation cannot be undone. Create a new key.' })
}

export function keyExpired (): KeysError {
  return new KeysError('key_expired', { detail: 'The key has expired. Set a later expiry first, or create a new key.' })
}

export function expiryRefused (fault: ExpiryFault): KeysError {
  const { detail, advice } = sayings(fault)
  return new KeysError('invalid_request', { detail, faults: [{ pointer: '/expires_at', detail: advice }] })
}

function sayings (fault: ExpiryFault): { detail: string, advice: string } {
  if (fault.outcome === 'expiry_past') return { detail: 'The expiry is not in the future.', advice: 'Must be in the future. To end a key now, revoke it (DELETE).' }
  const { maxLifetimeDays: days } = fault
  return fault.outcome === 'endless'
    ? { detail: 'The policy does not allow a key without an expiry.', advice: `Must be a time: the policy allows at most ${counted(days ?? 0, 'day')}. When you create a key, omit it to get the lifetime that the policy sets.` }
    : { detail: 'The expiry is later than the policy allows.', advice: `Must be at most ${counted(days ?? 0, 'day')} after the newest token of the key was created.` }
}

const alreadyDone: Readonly<Record<'already_created' | 'already_rotated', string>> = {
  already_created: 'A key was already created with this Idempotency-Key; "key_id" is its id. Its token was shown once. If the token is lost, revoke that key and create another one with a new Idempotency-Key.',
  already_rotated: 'The key was already rotated with this Idempotency-Key. The new token was shown once. If it is lost, rotate the key again with a new Idempotency-Key.'
}

export function already (code: ErrorCode & keyof typeof alreadyDone, keyId: string): KeysError {
  return new KeysError(code, { detail: alreadyDone[code], extra: { key_id: keyId } })
}

export function idempotencyKeyReused (): KeysError {
  return new KeysError('idempotency_key_reused', { detail: 'This Idempotency-Key was already used with another body. Use a new one for every new request.' })
}
