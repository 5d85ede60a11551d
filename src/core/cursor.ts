import { createHmac, timingSafeEqual } from 'node:crypto'
import { KeysError } from './errors.ts'
import type { Place } from './key-store.ts'

const placeBytes = 8 + 16
const sealBytes = 16

/**
 * Cursors of lists: the position of the last row, with an HMAC so that clients cannot invent one. Each is bound to its list,
 * so that a cursor of another workspace is refused.
 */
export class CursorSeal {
  readonly #key: Buffer

  /** `secret` is shared by the replicas: a page may be asked of any of them. */
  constructor (secret: Uint8Array) {
    // A separate key: the key that signs rows in Redis never signs input of clients.
    this.#key = createHmac('sha256', secret).update('navis-keys cursor').digest()
  }

  seal (place: Place, list: readonly string[]): string {
    const bytes = Buffer.alloc(placeBytes)
    bytes.writeBigInt64BE(BigInt(place.at))
    bytes.write(place.id.replaceAll('-', ''), 8, 'hex')
    return Buffer.concat([bytes, this.#sealOf(bytes, list)]).toString('base64url')
  }

  open (cursor: string, list: readonly string[]): Place {
    const bytes = Buffer.from(cursor, 'base64url')
    // The last base64 character has unused bits: only the canonical spelling is accepted.
    if (bytes.length !== placeBytes + sealBytes || bytes.toString('base64url') !== cursor) throw invalidCursor()
    const place = bytes.subarray(0, placeBytes)
    if (!timingSafeEqual(bytes.subarray(placeBytes), this.#sealOf(place, list))) throw invalidCursor()
    return { at: Number(place.readBigInt64BE()), id: uuidOf(place.toString('hex', 8)) }
  }

  #sealOf (place: Buffer, list: readonly string[]): Buffer {
    return createHmac('sha256', this.#key).update(place).update(JSON.stringify(list)).digest().subarray(0, sealBytes)
  }
}

function uuidOf (hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

function invalidCursor (): KeysError {
  return new KeysError('invalid_cursor', {
    detail: 'Invalid cursor for this list. Send "next_cursor" unchanged, with the same workspace and filters, or omit "cursor" to start from the newest.'
  })
}
