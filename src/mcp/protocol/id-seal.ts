import { createHmac, timingSafeEqual } from 'node:crypto'

interface SealOptions {
  /** Shared by all replicas, known to nobody else. */
  readonly secret: Uint8Array
}

const macLength = 22

/**
 * Ties an upstream's session to the key that opened it: clients get `<session>.<mac>`, upstreams `<session>`. Who learns of
 * another's session can neither listen in it, nor end it, nor answer its questions.
 */
export class IdSeal {
  readonly #secret: Uint8Array

  constructor ({ secret }: SealOptions) {
    this.#secret = secret
  }

  /** With a secret made from one that is there for something else: what either is used for tells nothing about the other. */
  static derived (secret: Uint8Array): IdSeal {
    return new IdSeal({ secret: createHmac('sha256', secret).update('mcp session seal').digest() })
  }

  seal (session: string, upstream: string, keyId: string): string {
    return `${session}.${this.#mac(session, upstream, keyId)}`
  }

  /** The upstream's session, or `undefined` where this key did not open it here. */
  open (sealed: string, upstream: string, keyId: string): string | undefined {
    const dot = sealed.length - macLength - 1
    if (dot < 1 || sealed[dot] !== '.') return undefined
    const session = sealed.slice(0, dot)
    const presented = Buffer.from(sealed.slice(dot + 1), 'latin1')
    const right = Buffer.from(this.#mac(session, upstream, keyId), 'latin1')
    return timingSafeEqual(presented, right) ? session : undefined
  }

  // Sixteen bytes: forging one means guessing online, a request at a time.
  #mac (session: string, upstream: string, keyId: string): string {
    return createHmac('sha256', this.#secret).update(JSON.stringify([upstream, keyId, session])).digest().subarray(0, 16).toString('base64url')
  }
}
