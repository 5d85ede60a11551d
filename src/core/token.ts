import { hash, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { acceptedPrefix, acceptedSource, foreignLengthMin } from './accepted-prefixes.ts'
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

// The base62 value of a character code; 255: not in the alphabet.
const worth = new Uint8Array(128).fill(255)
for (let i = 0; i < alphabet.length; i++) worth[alphabet.charCodeAt(i)] = i

// CRC-32 (IEEE 802.3), byte by byte: faster than a call into zlib for such short texts.
const crcTable = new Int32Array(256)
for (let byte = 0; byte < 256; byte++) {
  let rest = byte
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0xEDB88320 : rest >>> 1
  crcTable[byte] = rest
}

export interface Minted {
  /** Shown once, when the key is made; never stored, never logged. */
  readonly token: string
  readonly digest: Digest
  /** First and last four characters after the prefix, for people to tell keys apart: `3kTq…B3x9`. */
  readonly hint: string
}

// Tokens without our checksum: RFC 6750, section 2.1, with a limit on the length.
const b64token = /^[A-Za-z0-9._~+/-]+=*$/
const foreignLengthMax = 512

/** Mints tokens of one prefix, and recognises these and tokens with an accepted prefix. */
export class TokenFormat {
  readonly prefix: string
  /** Prefixes under which imported and older tokens still work. These tokens do not have our checksum. */
  readonly accepted: readonly string[]
  readonly #acceptedWithin: RegExp | undefined
  readonly #within: RegExp
  readonly #length: number
  /** The state of the CRC-32 after the prefix. */
  readonly #prefixCrc: number

  /** `prefix` ends in an underscore, so that a double click selects the whole token. */
  constructor (prefix = 'nops_', accepted: readonly string[] = []) {
    if (!/^[a-z][a-z0-9]{1,15}_$/.test(prefix)) {
      throw new TypeError('The token prefix must be 2 to 16 lower-case letters or digits and an underscore, such as "nops_".')
    }
    if (!accepted.every((beginning) => acceptedPrefix.test(beginning))) {
      throw new TypeError('An accepted token prefix must be 2 to 64 of the characters A-Z a-z 0-9 . _ ~ + / -, such as "sk_live_".')
    }
    this.prefix = prefix
    this.accepted = accepted
    this.#acceptedWithin = accepted.length === 0 ? undefined : new RegExp(acceptedSource(accepted))
    this.#length = prefix.length + secretLength + checksumLength
    this.#within = new RegExp(`${prefix}[0-9A-Za-z]{${secretLength + checksumLength}}`)
    this.#prefixCrc = ~crc32(prefix)
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
   * The digest of a well-formed token, or `undefined` for a text that cannot be a token: wrong shape or wrong
   * checksum. A well-formed token need not exist.
   */
  parse (text: string): Digest | undefined {
    return this.isWellFormed(text) ? digestOf(text) : undefined
  }

  /**
   * The digest of a text with the length and the beginning of a token, or `undefined`. For a place that holds digests of well-formed tokens only:
   * a text that is found there is well-formed, and need not be read twice.
   */
  digestOf (text: string): Digest | undefined {
    return this.#hasOurShape(text) || this.#hasAcceptedShape(text) ? digestOf(text) : undefined
  }

  isWellFormed (text: string): boolean {
    return (this.#hasOurShape(text) && this.#hasChecksum(text)) || (this.#hasAcceptedShape(text) && b64token.test(text))
  }

  /** Matches a text that contains something shaped like a token, to refuse it in fields where tokens do not belong. */
  foundIn (text: string): boolean {
    return (text.includes(this.prefix) && this.#within.test(text)) || this.#acceptedWithin?.test(text) === true
  }

  #hasOurShape (text: string): boolean {
    return text.length === this.#length && text.startsWith(this.prefix)
  }

  #hasChecksum (text: string): boolean {
    const checksumAt = this.#length - checksumLength
    const crc = crcOf(text, this.prefix.length, checksumAt, this.#prefixCrc)
    return crc !== undefined && ~crc >>> 0 === numberAt(text, checksumAt, this.#length)
  }

  #hasAcceptedShape (text: string): boolean {
    if (this.accepted.length === 0 || text.length < foreignLengthMin || text.length > foreignLengthMax) return false
    return this.accepted.some((beginning) => text.startsWith(beginning))
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

/** Continues a CRC-32 over the characters from `start` to `end`. `undefined`: a character that no token has. */
function crcOf (text: string, start: number, end: number, crc: number): number | undefined {
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i)
    if (isForeign(code)) return undefined
    crc = crcTable[(crc ^ code) & 0xFF]! ^ (crc >>> 8)
  }
  return crc
}

/** The base62 number from `start` to `end`; -1 if it is not one. */
function numberAt (text: string, start: number, end: number): number {
  let value = 0
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i)
    if (isForeign(code)) return -1
    value = value * 62 + worth[code]!
  }
  return value
}

function isForeign (code: number): boolean {
  return code > 127 || worth[code] === 255
}

// Bytes of 248 and above are rejected: 256 is not a multiple of 62, and the first eight characters would be more frequent.
function randomBase62 (length: number): string {
  let text = ''
  while (text.length < length) {
    for (const byte of randomBytes(length * 2)) {
      if (byte < 248 && text.length < length) text += alphabet.charAt(byte % 62)
    }
  }
  return text
}
