import { createHmac, timingSafeEqual } from 'node:crypto'

interface SealOptions {
  /** The same at all replicas, and known only to them. */
  readonly secret: Uint8Array
}

const macLength = 22

/**
 * Binds an id that an upstream issued to the key that received it: clients see `<id>.<mac>`, upstreams `<id>`. A caller who knows the session
 * of another key cannot listen in it, end it or answer its questions, and cannot resume a stream with an event id of another key.
 */
export class IdSeal {
  readonly #secret: Uint8Array

  constructor ({ secret }: SealOptions) {
    this.#secret = secret
  }

  /** Derives a separate secret for each purpose, so that no use of one reveals anything about another. */
  static derived (secret: Uint8Array, purpose: 'session' | 'event'): IdSeal {
    return new IdSeal({ secret: createHmac('sha256', secret).update(`mcp ${purpose} seal`).digest() })
  }

  seal (id: string, upstream: string, keyId: string): string {
    return `${id}.${this.#mac(id, upstream, keyId)}`
  }

  /** The upstream's id; `undefined` if it was not issued to this key. */
  open (sealed: string, upstream: string, keyId: string): string | undefined {
    const dot = sealed.length - macLength - 1
    if (dot < 1 || sealed[dot] !== '.') return undefined
    const id = sealed.slice(0, dot)
    const presented = Buffer.from(sealed.slice(dot + 1), 'latin1')
    const right = Buffer.from(this.#mac(id, upstream, keyId), 'latin1')
    return timingSafeEqual(presented, right) ? id : undefined
  }

  // 16 bytes: a forger must guess online, with one request for each guess.
  #mac (id: string, upstream: string, keyId: string): string {
    return createHmac('sha256', this.#secret).update(JSON.stringify([upstream, keyId, id])).digest().subarray(0, 16).toString('base64url')
  }
}
