import { isUtf8 } from 'node:buffer'

/** A parsed JSON value. Objects are `Map`s, so that no member name has a meaning in JavaScript. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject | Checked
export type JsonObject = ReadonlyMap<string, Json>

/** A value that was checked but not kept: nothing needs it, and a hostile one would fill the memory. */
export const checked: unique symbol = Symbol('checked')
export type Checked = typeof checked

export interface JsonText {
  readonly value: Json
  /** The value in its canonical form; numbers as they were written. */
  readonly bytes: Buffer
}

/** The text is not JSON that every parser reads in the same way. The message tells what to do and contains nothing of the text. */
export class JsonRefused extends Error {
  override readonly name = 'JsonRefused'
}

/** The position of a value of a kept container in the bytes that were written. */
export interface Place {
  /** The member's name; `undefined` in an array. */
  readonly name: string | undefined
  readonly value: Json
  readonly start: number
  readonly end: number
}

export interface ReaderOptions {
  /** Whether the values of a container are kept. Depth 1 is the outermost; `name` is the name of the member that contains it. */
  readonly keeps: (kind: 'object' | 'array', depth: number, name: string | undefined) => boolean
  /** Which members of a kept object are kept, by the name of the member that contains the object. All by default. */
  readonly wants?: (container: string | undefined, name: string) => boolean
  /** Whether `places` is kept. */
  readonly placed?: boolean
}

export function isJsonObject (value: Json | undefined): value is JsonObject {
  return value instanceof Map
}

export function isJsonArray (value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value)
}

type Container = Map<string, Json> | Json[]

interface Frame {
  readonly isObject: boolean
  readonly start: number
  readonly kept: Container | undefined
  /** The name of the member that contains it. */
  readonly container: string | undefined
  /** The name of the member whose value comes next, and whether that value is kept. */
  name: string
  isWanted: boolean
  names: number
  /** The names whose values are not kept: the first, and a set for all further ones. */
  first: string | undefined
  others: Set<string> | undefined
}

const depthMax = 100
const numberLengthMax = 128
// Limits the memory for the names of open objects, about 100 bytes each. The names of closed objects are dropped.
const openNamesMax = 16_384
const itemsKeptMax = 10_000
const stringKeptMax = 65_536
const control = /\p{Cc}/u

// What the next byte may begin.
const valueNext = 0
const valueOrEnd = 1
const nameNext = 2
const nameOrEnd = 3
const colonNext = 4
const commaOrEnd = 5
const nothingNext = 6
const inString = 7
const inName = 8

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c

const everything: ReaderOptions = { keeps: () => true }

/**
 * Reads I-JSON (RFC 7493) in UTF-8, and refuses everything else. Parsers differ on duplicate members (first or last wins), byte order marks,
 * lone surrogates and trailing text. If a gateway judged its own reading and passed the original bytes on, a sender could make the upstream
 * read something else. Here the bytes that are passed on are produced by the reading that was judged.
 */
export function readStrictJson (bytes: Uint8Array, options?: ReaderOptions): JsonText {
  const reader = new StrictJsonReader(bytes, options)
  reader.advance(bytes.length)
  return reader.result
}

/**
 * The same reading in slices, so that a long text never blocks the event loop. It is one pass over the bytes, in memory of a few times the size
 * of the text, whatever it contains. `JSON.parse` cannot be interrupted, and blocks the loop for up to 200 ms for a MiB of `{}`.
 */
export class StrictJsonReader {
  readonly #bytes: Uint8Array
  readonly #out: Buffer
  readonly #options: ReaderOptions
  readonly #around: Frame[] = []
  /** The innermost open container; the containers around it are in `#around`. */
  #frame: Frame | undefined
  #at = 0
  #written = 0
  #next = valueNext
  #stringStart = 0
  #openNames = 0
  #value: Json = checked
  /** The positions of the values of kept containers; empty unless `placed`. */
  readonly places = new Map<Json, Place[]>()

  constructor (bytes: Uint8Array, options: ReaderOptions = everything) {
    if (!isUtf8(bytes)) throw new JsonRefused('The body is not UTF-8. Send JSON in UTF-8.')
    this.#bytes = bytes
    // The canonical form is never longer than the text.
    this.#out = Buffer.allocUnsafe(bytes.length)
    this.#options = options
  }

  /** The result, after `advance` has returned true. */
  get result (): JsonText {
    return { value: this.#value, bytes: this.#out.subarray(0, this.#written) }
  }

  /** Reads about `bytesMax` more. Returns whether the text was read to its end; throws `JsonRefused` if it is refused. */
  advance (bytesMax: number): boolean {
    const bytes = this.#bytes
    const stop = Math.min(this.#at + bytesMax, bytes.length)
    while (this.#at < stop) {
      if (this.#next >= inString) this.#inString(stop)
      else this.#token(bytes[this.#at] as number)
    }
    if (this.#at < bytes.length) return false
    if (this.#next !== nothingNext) throw this.#malformed()
    return true
  }

  #token (byte: number): void {
    if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
      this.#at++
      return
    }
    switch (this.#next) {
      case valueNext: return this.#startValue(byte)
      case valueOrEnd: return byte === 0x5d ? this.#close() : this.#startValue(byte)
      case nameNext: return this.#startName(byte)
      case nameOrEnd: return byte === 0x7d ? this.#close() : this.#startName(byte)
      case colonNext: return this.#colon(byte)
      case commaOrEnd: return this.#commaOrEnd(byte)
      default: throw new JsonRefused('Text follows the JSON value. Send exactly one value.')
    }
  }

  #startValue (byte: number): void {
    if (byte === quote) this.#openString(inString)
    else if (byte === 0x7b) this.#open(true)
    else if (byte === 0x5b) this.#open(false)
    else if (byte === 0x74) this.#word('true', true)
    else if (byte === 0x66) this.#word('false', false)
    else if (byte === 0x6e) this.#word('null', null)
    else this.#number()
  }

  #startName (byte: number): void {
    if (byte !== quote) throw this.#malformed()
    this.#openString(inName)
  }

  #colon (byte: number): void {
    if (byte !== 0x3a) throw this.#malformed()
    this.#copy(byte)
    this.#next = valueNext
  }

  #commaOrEnd (byte: number): void {
    const isObject = this.#frame?.isObject === true
    if (byte === comma) {
      this.#copy(byte)
      this.#next = isObject ? nameNext : valueNext
    } else if (byte === (isObject ? 0x7d : 0x5d)) {
      this.#close()
    } else {
      throw this.#malformed()
    }
  }

  #open (isObject: boolean): void {
    const around = this.#frame
    if (around !== undefined) this.#around.push(around)
    const depth = this.#around.length + 1
    if (depth > depthMax) throw new JsonRefused(`The JSON is nested more than ${depthMax} levels deep.`)
    const container = around?.isObject === true ? around.name : undefined
    const isKept = this.#keepsValue && this.#options.keeps(isObject ? 'object' : 'array', depth, container)
    const kept = !isKept ? undefined : isObject ? new Map<string, Json>() : []
    this.#frame = { isObject, start: this.#written, kept, container, name: '', isWanted: kept !== undefined, names: 0, first: undefined, others: undefined }
    this.#copy(isObject ? 0x7b : 0x5b)
    this.#next = isObject ? nameOrEnd : valueOrEnd
  }

  #close (): void {
    const frame = this.#frame
    if (frame === undefined) throw this.#malformed()
    this.#copy(frame.isObject ? 0x7d : 0x5d)
    this.#openNames -= frame.names
    this.#frame = this.#around.pop()
    this.#place(frame.kept ?? checked, frame.start)
  }

  // A value is complete: store it in its container; a comma or an end comes next.
  #place (value: Json, start: number): void {
    const frame = this.#frame
    if (frame === undefined) {
      this.#value = value
      this.#next = nothingNext
      return
    }
    this.#next = commaOrEnd
    const { kept, isObject, name, isWanted } = frame
    if (kept === undefined || !isWanted) return
    if (kept instanceof Map) {
      kept.set(name, value)
    } else {
      if (kept.length === itemsKeptMax) throw new JsonRefused(`An array has more than ${itemsKeptMax} items.`)
      kept.push(value)
    }
    if (this.#options.placed === true) this.#note(kept, { name: isObject ? name : undefined, value, start, end: this.#written })
  }

  #note (owner: Container, place: Place): void {
    const places = this.places.get(owner)
    if (places === undefined) this.places.set(owner, [place])
    else places.push(place)
  }

  get #keepsValue (): boolean {
    return this.#frame === undefined || this.#frame.isWanted
  }

  #word (word: string, value: null | boolean): void {
    const start = this.#written
    for (let i = 0; i < word.length; i++) {
      if (this.#bytes[this.#at] !== word.charCodeAt(i)) throw this.#malformed()
      this.#copy(word.charCodeAt(i))
    }
    this.#place(value, start)
  }

  #number (): void {
    const bytes = this.#bytes
    const out = this.#out
    const start = this.#written
    const end = endOfNumber(bytes, this.#at)
    if (end === this.#at) throw this.#malformed()
    if (end - this.#at > numberLengthMax) throw new JsonRefused(`A number has more than ${numberLengthMax} characters.`)
    let written = start
    for (let at = this.#at; at < end; at++) out[written++] = bytes[at] as number
    this.#at = end
    this.#written = written
    this.#place(this.#keepsValue ? Number(out.toString('latin1', start, written)) : checked, start)
  }

  #openString (kind: typeof inString | typeof inName): void {
    this.#stringStart = this.#written
    this.#copy(quote)
    this.#next = kind
  }

  // The hot loop: strings are most of what honest messages consist of.
  #inString (stop: number): void {
    const bytes = this.#bytes
    const out = this.#out
    let at = this.#at
    let written = this.#written
    while (at < stop) {
      const byte = bytes[at] as number
      if (byte === quote || byte === backslash || byte < 0x20) break
      out[written++] = byte
      at++
    }
    this.#at = at
    this.#written = written
    if (at === stop) return
    if (bytes[at] === quote) this.#closeString()
    else if (bytes[at] === backslash) this.#escape()
    else throw this.#malformed()
  }

  #closeString (): void {
    const isName = this.#next === inName
    this.#copy(quote)
    if (isName) {
      this.#addName(this.#text(this.#stringStart))
      this.#next = colonNext
    } else {
      const isKept = this.#keepsValue && this.#written - this.#stringStart <= stringKeptMax
      this.#place(isKept ? this.#text(this.#stringStart) : checked, this.#stringStart)
    }
  }

  #text (start: number): string {
    const inner = this.#out.toString('utf8', start + 1, this.#written - 1)
    return inner.includes('\\') ? JSON.parse(`"${inner}"`) as string : inner
  }

  #addName (name: string): void {
    const frame = this.#frame
    if (frame === undefined) throw this.#malformed()
    if (hasName(frame, name)) throw new JsonRefused('An object has the same member twice. Send each once.')
    if (name === '__proto__') throw new JsonRefused('A member has the name "__proto__". Remove it.')
    if (control.test(name)) throw new JsonRefused('The name of a member contains a control character.')
    if (++this.#openNames > openNamesMax) throw new JsonRefused(`There are more than ${openNamesMax} members in one object.`)
    frame.names++
    frame.name = name
    frame.isWanted = frame.kept !== undefined && (this.#options.wants?.(frame.container, name) ?? true)
    if (frame.isWanted) return
    if (frame.first === undefined) frame.first = name
    else (frame.others ??= new Set()).add(name)
  }

  #escape (): void {
    const byte = this.#bytes[this.#at + 1]
    switch (byte) {
      case quote: case backslash: case 0x62: case 0x66: case 0x6e: case 0x72: case 0x74: // b f n r t
        this.#copy(backslash)
        this.#copy(byte)
        return
      case 0x2f: // the solidus needs no escape
        this.#at++
        this.#copy(byte)
        return
      case 0x75:
        this.#unicodeEscape()
        return
      default:
        throw byte === undefined ? this.#malformed() : new JsonRefused('A string contains an escape sequence that JSON does not have.')
    }
  }

  #unicodeEscape (): void {
    const unit = this.#hex(this.#at)
    this.#at += 6
    if (unit < 0xd800 || unit > 0xdfff) return this.#write(unit)
    const isPair = unit < 0xdc00 && this.#bytes[this.#at] === backslash && this.#bytes[this.#at + 1] === 0x75
    const low = isPair ? this.#hex(this.#at) : 0
    if (low < 0xdc00 || low > 0xdfff) throw new JsonRefused('A string contains half of a surrogate pair. Send well-formed Unicode.')
    this.#at += 6
    this.#write(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
  }

  #hex (at: number): number {
    let unit = 0
    for (let i = at + 2; i < at + 6; i++) {
      const digit = hexDigit(this.#bytes[i] ?? 0)
      if (digit === -1) throw new JsonRefused('A string contains an escape sequence that JSON does not have.')
      unit = unit * 16 + digit
    }
    return unit
  }

  // As JSON.stringify writes it: the character itself, unless it needs an escape.
  #write (code: number): void {
    const text = code < 0x20 || code === quote || code === backslash ? JSON.stringify(String.fromCodePoint(code)).slice(1, -1) : String.fromCodePoint(code)
    this.#written += this.#out.write(text, this.#written, 'utf8')
  }

  #copy (byte: number): void {
    this.#out[this.#written++] = byte
    this.#at++
  }

  #malformed (): JsonRefused {
    const [first, second, third] = this.#bytes
    return new JsonRefused(first === 0xef && second === 0xbb && third === 0xbf
      ? 'The body begins with a byte order mark. Send JSON in UTF-8 without one.'
      : `The body is not JSON: something unexpected at byte ${Math.min(this.#at, this.#bytes.length)}.`)
  }
}

function hasName ({ kept, first, others }: Frame, name: string): boolean {
  return first === name || others?.has(name) === true || (kept instanceof Map && kept.has(name))
}

/** The end of the number at `at` (RFC 8259, section 6); `at` itself if there is none. Reads little more than the longest number allowed. */
function endOfNumber (bytes: Uint8Array, at: number): number {
  const whole = bytes[at] === 0x2d ? at + 1 : at
  let end = bytes[whole] === 0x30 ? whole + 1 : endOfDigits(bytes, whole)
  if (end === whole) return at
  if (bytes[end] === 0x2e) {
    const fraction = end + 1
    end = endOfDigits(bytes, fraction)
    if (end === fraction) return at
  }
  if (bytes[end] === 0x65 || bytes[end] === 0x45) {
    const exponent = bytes[end + 1] === 0x2b || bytes[end + 1] === 0x2d ? end + 2 : end + 1
    end = endOfDigits(bytes, exponent)
    if (end === exponent) return at
  }
  return end
}

function endOfDigits (bytes: Uint8Array, from: number): number {
  const stop = Math.min(from + numberLengthMax + 1, bytes.length)
  let end = from
  while (end < stop && (bytes[end] as number) >= 0x30 && (bytes[end] as number) <= 0x39) end++
  return end
}

function hexDigit (byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}
