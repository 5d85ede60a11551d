import { hash, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { Digest } from './key-record.ts'

/*
 *   nops_ 3kTq…(32 base62)…Zw 0aB3x9
 *   │     │                   └ 6 base62: CRC-32 of everything before it, left-padded with '0'
 *   │     └ 32 base62 from the system's CSPRNG: 190 bits
 *   └ prefix, a setting
 */

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const secretLength = 32
const checksumLength = 6
const hintEnds = 4

export interface Minted {
  /** Shown once, to whoever made the key; never stored, never logged. */
  readonly token: string
  readonly digest: Digest
  /** First and last four characters after the prefix, for people to tell keys apart: `3kTq…B3x9`. */
  readonly hint: string
}

/** Mints and recognises tokens of one prefix. */
export class TokenFormat {
  readonly prefix: string
  readonly #shape: RegExp
  readonly #length: number

  /** `prefix` ends in an underscore, so that a double click selects the whole token. */
  constructor (prefix = 'nops_') {
    if (!/^[a-z][a-z0-9]{1,15}_$/.test(prefix)) {
      throw new TypeError('The token prefix is 2 to 16 lower-case letters or digits and an underscore, such as "nops_".')
    }
    this.prefix = prefix
    this.#length = prefix.length + secretLength + checksumLength
    this.#shape = new RegExp(`^${prefix}[0-9A-Za-z]{${secretLength + checksumLength}}$`)
  }

  mint (): Minted {
    const body = this.prefix + randomBase62(secretLength)
    const token = body + checksum(body)
    const start = this.prefix.length
    return {
      token,
      digest: digestOf(token),
      hint: `${token.slice(start, start + hintEnds)}…${token.slice(-hintEnds)}`
    }
  }

  /**
   * The digest of a well-formed token, or `undefined` for a text that was never a token: wrong shape, or a
   * checksum that does not fit. A match proves nothing but that asking a store is worth it.
   */
  parse (text: string): Digest | undefined {
    if (text.length !== this.#length || !this.#shape.test(text)) return undefined
    const body = text.slice(0, -checksumLength)
    return text.endsWith(checksum(body)) ? digestOf(text) : undefined
  }

  /** A text that holds something shaped like a token, to refuse where none belongs. Global matches start anew each time. */
  foundIn (text: string): boolean {
    return text.includes(this.prefix) && new RegExp(`${this.prefix}[0-9A-Za-z]{${secretLength + checksumLength}}`).test(text)
  }
}

function digestOf (token: string): Digest {
  return hash('sha256', token, 'binary') as Digest
}

function checksum (body: string): string {
  let rest = crc32(body)
  let text = ''
  for (let i = 0; i < checksumLength; i++) {
    text = alphabet.charAt(rest % 62) + text
    rest = Math.floor(rest / 62)
  }
  return text
}

// Bytes of 248 and above are drawn again: 256 is no multiple of 62, and the first eight characters would come up more often.
function randomBase62 (length: number): string {
  let text = ''
  while (text.length < length) {
    for (const byte of randomBytes(length * 2)) {
      if (byte < 248 && text.length < length) text += alphabet.charAt(byte % 62)
    }
  }
  return text
}
