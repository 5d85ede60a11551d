import type { Digest, KeyLimits, KeyRecord, RateLimit } from '../core/key-record.ts'
import type { Scope } from '../core/scopes.ts'

/*
 * A row is 128 bytes, two lines of a processor's cache. What finds and judges a key is in the first.
 *
 *   bytes  0-31  digest                     64-71  asof
 *         32-47  id, a UUID                 72-79  createdAt, ms
 *         48-51  next row of the chain      80-87  expiresAt, ms; NaN: never
 *         52-55  place of the workspace     88-127 name, Latin-1
 *         56-59  place of the owner; -1: none
 *         60-63  flags, length of the name
 *
 * With a rate limit, the last 8 bytes are no part of the name: 120-123 its requests, 124-127 its seconds.
 */
const wordsPerRow = 32
const doublesPerRow = 16
const bytesPerRow = 128
const idAt = 32
const nextAt = 12
const workspaceAt = 13
const ownerAt = 14
const flagsAt = 15
const asofAt = 8
const createdAtAt = 9
const expiresAtAt = 10
const nameAt = 88
const nameBytesMax = bytesPerRow - nameAt
const requestsAt = 30
const secondsAt = 31
const limitBytes = 8

const taken = 1
const used = 2
const writes = 4
const whole = 8
const limited = 16
const ready = 32
const lengthShift = 8

// Large pages, so that the list of pages stays in the processor's cache. Unused parts of a page take no memory.
const pageBits = 16
const rowsPerPage = 1 << pageBits

function pageOf (row: number): number {
  return row >>> pageBits
}

function placeOf (row: number): number {
  return row & (rowsPerPage - 1)
}

/** What a packed row says of its key beyond the digest, the workspace and the owner. */
export interface RowFields {
  readonly id: string
  readonly name: string
  readonly scope: Scope
  readonly asof: number
  readonly createdAt: number
  readonly expiresAt: number | null
  readonly rateLimit: RateLimit | null
}

/** A row's place in memory and its few numbers. Row 0 is none. */
export class KeyRows {
  readonly #words: Int32Array[] = []
  readonly #doubles: Float64Array[] = []
  readonly #bytes: Buffer[] = []

  /** Makes room for the next row, by a page if it takes one. Pages are never copied: a table that grows never blocks. */
  reach (row: number): void {
    if (pageOf(row) < this.#words.length) return
    const page = new ArrayBuffer(rowsPerPage * bytesPerRow)
    this.#words.push(new Int32Array(page))
    this.#doubles.push(new Float64Array(page))
    this.#bytes.push(Buffer.from(page))
  }

  has (row: number, digest: Digest, firstWord: number): boolean {
    const words = this.#words[pageOf(row)]!
    const start = placeOf(row) * wordsPerRow
    if (words[start] !== firstWord) return false
    for (let i = 1; i < 8; i++) {
      if (words[start + i] !== wordOf(digest, i)) return false
    }
    return true
  }

  next (row: number): number {
    return this.#word(row, nextAt)
  }

  setNext (row: number, next: number): void {
    this.#setWord(row, nextAt, next)
  }

  workspace (row: number): number {
    return this.#word(row, workspaceAt)
  }

  owner (row: number): number {
    return this.#word(row, ownerAt)
  }

  asof (row: number): number {
    return this.#doubles[pageOf(row)]![placeOf(row) * doublesPerRow + asofAt]!
  }

  firstWord (row: number): number {
    return this.#word(row, 0)
  }

  isTaken (row: number): boolean {
    return (this.#word(row, flagsAt) & taken) !== 0
  }

  isUsed (row: number): boolean {
    return (this.#word(row, flagsAt) & used) !== 0
  }

  setUsed (row: number, isUsed: boolean): void {
    const flags = this.#word(row, flagsAt)
    this.#setWord(row, flagsAt, isUsed ? flags | used : flags & ~used)
  }

  /** Marks the row as used. Returns whether it was marked already. */
  use (row: number): boolean {
    const words = this.#words[pageOf(row)]!
    const at = placeOf(row) * wordsPerRow + flagsAt
    const flags = words[at]!
    if ((flags & used) !== 0) return true
    words[at] = flags | used
    return false
  }

  /** Whether the entry is also held as an object: otherwise that place need not be looked at. */
  isReady (row: number): boolean {
    return (this.#word(row, flagsAt) & ready) !== 0
  }

  setReady (row: number, isReady: boolean): void {
    const flags = this.#word(row, flagsAt)
    this.#setWord(row, flagsAt, isReady ? flags | ready : flags & ~ready)
  }

  /** Whether the row holds only the digest and the owner, and the rest is held elsewhere. */
  isWhole (row: number): boolean {
    return (this.#word(row, flagsAt) & whole) !== 0
  }

  write (row: number, { record, asof }: { readonly record: KeyRecord, readonly asof: number }, workspace: number, owner: number): void {
    const page = pageOf(row)
    const [words, doubles, bytes] = [this.#words[page]!, this.#doubles[page]!, this.#bytes[page]!]
    const [word, double, byte] = [placeOf(row) * wordsPerRow, placeOf(row) * doublesPerRow, placeOf(row) * bytesPerRow]
    const packs = isPackable(record) && writeUuid(bytes, byte + idAt, record.id)
    for (let i = 0; i < 8; i++) words[word + i] = wordOf(record.digest, i)
    words[word + workspaceAt] = workspace
    words[word + ownerAt] = owner
    const rateLimit = record.limits?.rateLimit ?? null
    words[word + flagsAt] = taken | (record.scope === 'mcp:write' ? writes : 0) | (packs ? record.name.length << lengthShift | (rateLimit === null ? 0 : limited) : whole)
    doubles[double + asofAt] = asof
    if (!packs) return
    doubles[double + createdAtAt] = record.createdAt
    doubles[double + expiresAtAt] = record.expiresAt ?? NaN
    for (let i = 0; i < record.name.length; i++) bytes[byte + nameAt + i] = record.name.charCodeAt(i)
    if (rateLimit === null) return
    words[word + requestsAt] = rateLimit.requests
    words[word + secondsAt] = rateLimit.windowSeconds
  }

  read (row: number): RowFields {
    const page = pageOf(row)
    const [doubles, bytes] = [this.#doubles[page]!, this.#bytes[page]!]
    const [double, byte] = [placeOf(row) * doublesPerRow, placeOf(row) * bytesPerRow]
    const flags = this.#word(row, flagsAt)
    const expiresAt = doubles[double + expiresAtAt]!
    return {
      id: uuidOf(bytes, byte + idAt),
      name: bytes.toString('latin1', byte + nameAt, byte + nameAt + (flags >>> lengthShift)),
      scope: (flags & writes) === 0 ? 'mcp:read' : 'mcp:write',
      asof: doubles[double + asofAt]!,
      createdAt: doubles[double + createdAtAt]!,
      expiresAt: Number.isNaN(expiresAt) ? null : expiresAt,
      rateLimit: (flags & limited) === 0 ? null : { requests: this.#word(row, requestsAt), windowSeconds: this.#word(row, secondsAt) }
    }
  }

  clear (row: number): void {
    this.#setWord(row, flagsAt, 0)
  }

  #word (row: number, at: number): number {
    return this.#words[pageOf(row)]![placeOf(row) * wordsPerRow + at]!
  }

  #setWord (row: number, at: number, value: number): void {
    this.#words[pageOf(row)]![placeOf(row) * wordsPerRow + at] = value
  }
}

/** Four characters of a digest as a number; of a SHA-256 any four are as good as a hash. */
export function wordOf (digest: Digest, index: number): number {
  const at = index * 4
  return digest.charCodeAt(at) | digest.charCodeAt(at + 1) << 8 | digest.charCodeAt(at + 2) << 16 | digest.charCodeAt(at + 3) << 24
}

/** Nearly every key: others are held as the objects that they are. */
function isPackable ({ name, metadata, revokedAt, limits }: KeyRecord): boolean {
  if (revokedAt !== null || Object.keys(metadata).length > 0 || !isLatin1(name)) return false
  return limits === null ? name.length <= nameBytesMax : isOnlyRate(limits) && name.length <= nameBytesMax - limitBytes
}

function isOnlyRate ({ tokenEndsAt, allowedCidrs, rateLimit, awaitsFirstUse }: KeyLimits): boolean {
  return tokenEndsAt === null && allowedCidrs === null && !awaitsFirstUse && rateLimit !== null && isWord(rateLimit.requests) && isWord(rateLimit.windowSeconds)
}

/** Whether an `Int32Array` can hold the value unchanged. */
function isWord (value: number): boolean {
  return value === (value | 0)
}

function isLatin1 (text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 255) return false
  }
  return true
}

const hyphen = 45

/** Writes the 16 bytes of a UUID (RFC 9562, section 4) in lower case. `false`: the text is none, and what was written is worthless. */
function writeUuid (bytes: Buffer, start: number, text: string): boolean {
  if (text.length !== 36) return false
  let at = 0
  for (let i = 0; i < 16; i++) {
    if ((i === 4 || i === 6 || i === 8 || i === 10) && text.charCodeAt(at++) !== hyphen) return false
    const byte = nibbleOf(text.charCodeAt(at)) << 4 | nibbleOf(text.charCodeAt(at + 1))
    if (byte < 0) return false
    bytes[start + i] = byte
    at += 2
  }
  return true
}

/** What a hexadecimal digit in lower case is worth; -1: it is none. */
function nibbleOf (code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  return code >= 97 && code <= 102 ? code - 87 : -1
}

const hexDigits = Buffer.from('0123456789abcdef', 'latin1')
const uuidText = Buffer.alloc(36, '-')

function uuidOf (bytes: Buffer, start: number): string {
  let at = 0
  for (let i = 0; i < 16; i++) {
    if (i === 4 || i === 6 || i === 8 || i === 10) at++
    const byte = bytes[start + i]!
    uuidText[at++] = hexDigits[byte >>> 4]!
    uuidText[at++] = hexDigits[byte & 15]!
  }
  return uuidText.toString('latin1', 0, 36)
}
