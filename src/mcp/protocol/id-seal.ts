import { createHmac, timingSafeEqual } from 'node:crypto'

interface SealOptions {
  /** Shared by all replicas, known to nobody else. */
  readonly secret: Uint8Array
}

const macLength = 22

/**
 * Ties an id of an upstream's to the key that it was given to: clients get `<id>.<mac>`, upstreams `<id>`. Whoever learns of another
 * key's session can neither listen in it, nor end it, nor answer its questions; an event id of another key resumes nothing.
 */
export class IdSeal {
  readonly #secret: Uint8Array

  constructor ({ secret }: SealOptions) {
    this.#secret = secret
  }

  /** With a secret made from one that is there for something else: no use of either tells anything about the other. */
  static derived (secret: Uint8Array, purpose: 'session' | 'event'): IdSeal {
    return new IdSeal({ secret: createHmac('sha256', secret).update(`mcp ${purpose} seal`).digest() })
  }

  seal (id: string, upstream: string, keyId: string): string {
    return `${id}.${this.#mac(id, upstream, keyId)}`
  }

  /** The upstream's id, or `undefined` where it was not given to this key here. */
  open (sealed: string, upstream: string, keyId: string): string | undefined {
    const dot = sealed.length - macLength - 1
    if (dot < 1 || sealed[dot] !== '.') return undefined
    const id = sealed.slice(0, dot)
    const presented = Buffer.from(sealed.slice(dot + 1), 'latin1')
    const right = Buffer.from(this.#mac(id, upstream, keyId), 'latin1')
    return timingSafeEqual(presented, right) ? id : undefined
  }

  // Sixteen bytes: forging one means guessing online, a request at a time.
  #mac (id: string, upstream: string, keyId: string): string {
    return createHmac('sha256', this.#secret).update(JSON.stringify([upstream, keyId, id])).digest().subarray(0, 16).toString('base64url')
  }
}
