import { hash } from 'node:crypto'
import type { Digest } from '../core/key-record.ts'

const blockBytes = 64
const digestBytes = 32
const bytesPerCharacterMax = 3

/**
 * HMAC-SHA-256 (RFC 2104, section 2) over short texts with one key, in base64url. Two one-shot hashes over buffers that
 * are there already take 0.9 us; `createHmac` takes 1.6, and leaves objects that a collection has to end (docs/decisions/0052).
 */
export class RowMac {
  readonly secret: Uint8Array
  #inner: Buffer
  readonly #outer = Buffer.alloc(blockBytes + digestBytes)

  constructor (secret: Uint8Array) {
    this.secret = secret
    // A key longer than a block is hashed first.
    const key = Buffer.alloc(blockBytes)
    key.set(secret.length > blockBytes ? hash('sha256', secret, 'buffer') : secret)
    this.#inner = Buffer.alloc(4096)
    for (let i = 0; i < blockBytes; i++) {
      this.#inner[i] = key[i]! ^ 0x36
      this.#outer[i] = key[i]! ^ 0x5c
    }
  }

  /** Over a purpose, the 32 bytes of a digest and a text. */
  of (purpose: string, digest: Digest, text: string): string {
    let end = blockBytes
    this.#reach(end + digestBytes + (purpose.length + text.length) * bytesPerCharacterMax)
    end += this.#inner.write(purpose, end, 'utf8')
    end += this.#inner.write(digest, end, 'latin1')
    end += this.#inner.write(text, end, 'utf8')
    this.#outer.write(hash('sha256', this.#inner.subarray(0, end), 'binary'), blockBytes, 'latin1')
    return hash('sha256', this.#outer, 'base64url')
  }

  // What does not fit would be cut off without a word.
  #reach (bytes: number): void {
    if (bytes <= this.#inner.length) return
    const larger = Buffer.alloc(bytes)
    this.#inner.copy(larger, 0, 0, blockBytes)
    this.#inner = larger
  }
}
