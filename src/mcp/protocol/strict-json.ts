/** A JSON value as it was read: objects are `Map`s, so that no member name can mean anything to the language. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export type JsonObject = ReadonlyMap<string, Json>

export interface JsonText {
  readonly value: Json
  /** Says the same again in the one way that there is to say it; numbers as they were written. */
  readonly text: string
}

/** The text is no JSON that every parser reads the same way. The message tells what to do and repeats nothing of the text. */
export class JsonRefused extends Error {
  override readonly name = 'JsonRefused'
}

const depthMax = 100
const numberLengthMax = 128
const plain = /[ !#-[\]-\uffff]*/y
const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const space = /[ \t\n\r]*/y
const loneSurrogate = /\p{Surrogate}/u
const control = /\p{Cc}/u
const words: readonly (readonly [string, null | boolean])[] = [['null', null], ['true', true], ['false', false]]

/**
 * Reads I-JSON (RFC 7493) from UTF-8 and nothing looser. Parsers differ on doubled members (first or last wins),
 * byte order marks, lone surrogates and trailing text, and whoever judges one reading and sends on the bytes lets the
 * sender choose another for the reader behind. Here the text to send on comes out of the reading that is judged.
 */
export function readStrictJson (bytes: Uint8Array): JsonText {
  return new Reader(decodeUtf8(bytes)).read()
}

function decodeUtf8 (bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new JsonRefused('The body is not UTF-8. Send JSON in UTF-8.')
  }
}

class Reader {
  readonly #text: string
  #at = 0
  #depth = 0
  #out = ''

  constructor (text: string) {
    this.#text = text
  }

  read (): JsonText {
    const value = this.#value()
    if (this.#at < this.#text.length) throw new JsonRefused('Text follows the JSON value. Send exactly one value.')
    return { value, text: this.#out }
  }

  #value (): Json {
    this.#space()
    const value = this.#bareValue()
    this.#space()
    return value
  }

  #bareValue (): Json {
    switch (this.#text[this.#at]) {
      case '{': return this.#nested(() => this.#object())
      case '[': return this.#nested(() => this.#array())
      case '"': return this.#string()
      default: return this.#wordOrNumber()
    }
  }

  #nested<T> (read: () => T): T {
    if (++this.#depth > depthMax) throw new JsonRefused(`The JSON is nested more than ${depthMax} deep.`)
    const value = read()
    this.#depth--
    return value
  }

  #object (): JsonObject {
    const members = new Map<string, Json>()
    this.#take('{')
    this.#space()
    if (this.#taken('}')) return members
    do {
      this.#space()
      const name = this.#name(members)
      this.#space()
      this.#take(':')
      members.set(name, this.#value())
    } while (this.#taken(','))
    this.#take('}')
    return members
  }

  #name (members: JsonObject): string {
    const name = this.#string()
    if (members.has(name)) throw new JsonRefused('An object has the same member twice. Send each once.')
    if (name === '__proto__') throw new JsonRefused('A member is called "__proto__". Leave it out.')
    if (control.test(name)) throw new JsonRefused('The name of a member holds a control character.')
    return name
  }

  #array (): Json[] {
    const items: Json[] = []
    this.#take('[')
    this.#space()
    if (this.#taken(']')) return items
    do items.push(this.#value()); while (this.#taken(','))
    this.#take(']')
    return items
  }

  #string (): string {
    const start = this.#at
    if (this.#text[this.#at] !== '"') throw this.#malformed()
    this.#at++
    this.#run(plain)
    if (this.#text[this.#at] === '"') {
      const raw = this.#text.slice(start, ++this.#at)
      this.#out += raw
      return raw.slice(1, -1)
    }
    return this.#escapedString(start)
  }

  #escapedString (start: number): string {
    while (this.#text[this.#at] === '\\') {
      this.#at += 2
      this.#run(plain)
    }
    if (this.#text[this.#at] !== '"') throw this.#malformed()
    const value = unescape(this.#text.slice(start, ++this.#at))
    this.#out += JSON.stringify(value)
    return value
  }

  #wordOrNumber (): null | boolean | number {
    const word = words.find(([text]) => this.#text.startsWith(text, this.#at))
    if (word === undefined) return this.#number()
    this.#at += word[0].length
    this.#out += word[0]
    return word[1]
  }

  #number (): number {
    const lexeme = this.#run(number)
    if (lexeme === '') throw this.#malformed()
    if (lexeme.length > numberLengthMax) throw new JsonRefused(`A number has more than ${numberLengthMax} characters.`)
    this.#out += lexeme
    return Number(lexeme)
  }

  #take (mark: string): void {
    if (!this.#taken(mark)) throw this.#malformed()
  }

  #taken (mark: string): boolean {
    if (this.#text[this.#at] !== mark) return false
    this.#at++
    this.#out += mark
    return true
  }

  #space (): void {
    this.#run(space)
  }

  #run (pattern: RegExp): string {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0] ?? ''
    this.#at += found.length
    return found
  }

  #malformed (): JsonRefused {
    return new JsonRefused(this.#text.startsWith('\ufeff')
      ? 'The body begins with a byte order mark. Send JSON in UTF-8 without one.'
      : `The body is not JSON: something unexpected at character ${Math.min(this.#at, this.#text.length)}.`)
  }
}

function unescape (quoted: string): string {
  let value: string
  try {
    value = JSON.parse(quoted)
  } catch {
    throw new JsonRefused('A string holds an escape that JSON does not have.')
  }
  if (loneSurrogate.test(value)) throw new JsonRefused('A string holds half of a surrogate pair. Send well-formed Unicode.')
  return value
}
