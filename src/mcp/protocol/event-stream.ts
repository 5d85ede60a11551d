import { Bytes } from './bytes.ts'

/** An event is too long, or takes too long to arrive. */
export class EventTooLong extends Error {
  override readonly name = 'EventTooLong'
}

interface EventStreamOptions {
  /** Returns the new id of an event. */
  readonly rewriteId: (id: string) => string
  /** Returns the new `data` of an event; `undefined`: unchanged. Without this function, data passes before its event is complete. */
  readonly rewriteData?: ((data: Buffer) => Promise<Buffer | undefined>) | undefined
  /** The longest event whose data is rewritten, in bytes; a longer one throws `EventTooLong`. */
  readonly eventBytesMax: number
}

const lf = 0x0a
const cr = 0x0d
const colon = 0x3a
const space = 0x20
const newline = Buffer.from('\n')
const dataField = Buffer.from('data: ')
const endOfEvent = Buffer.from('\n\n')
const idBytesMax = 8192
// An id costs an HMAC and an event a promise: about as much as reading this many bytes.
const rewriteCostBytes = 1024

/**
 * Rewrites a stream of server-sent events (WHATWG HTML, 9.2) that arrives in pieces of any size. Each byte is read once, so that an event that
 * never ends, or arrives byte by byte, costs no more than any other. The work can be interrupted after any line.
 */
export class EventStream {
  readonly #options: EventStreamOptions
  readonly #rewritesData: boolean
  readonly #out = new Bytes()
  /** The incomplete line, if it must be held. */
  readonly #line = new Bytes()
  /** The incomplete event and its data, if data is rewritten. */
  readonly #event = new Bytes()
  readonly #others = new Bytes()
  readonly #data = new Bytes()
  #chunk: Buffer = newline
  #at = 0
  #hasData = false
  #passesLine = false
  #afterCr = false
  /** The data of a complete event that must be rewritten, and the last byte of that event. */
  #complete: { readonly data: Buffer, readonly end: number } | undefined

  constructor (options: EventStreamOptions) {
    this.#options = options
    this.#rewritesData = options.rewriteData !== undefined
  }

  /** The bytes of the incomplete event. */
  get held (): number {
    return this.#event.length + this.#line.length
  }

  /** Returns what can be passed on after `chunk`. `run` schedules the calls of `advance`; by default all at once. */
  async push (chunk: Buffer, run: (work: EventStream, bytes: number) => Promise<void> = atOnce): Promise<Buffer> {
    this.#chunk = chunk
    this.#at = 0
    while (this.#at < chunk.length) {
      await run(this, chunk.length - this.#at)
      if (this.#complete !== undefined) await this.#rewrite(this.#complete)
    }
    return this.#out.take()
  }

  /** Reads about `bytesMax` more. Returns true at the end of the chunk, or when an event must be rewritten first. */
  advance (bytesMax: number): boolean {
    const chunk = this.#chunk
    let stop = Math.min(this.#at + bytesMax, chunk.length)
    while (this.#at < stop && this.#complete === undefined) {
      const from = this.#at
      let end = from
      while (end < stop && chunk[end] !== lf && chunk[end] !== cr) end++
      this.#at = end === stop ? end : end + 1
      if (end === stop) this.#keepPart(from, end)
      else if (this.#endLine(from, end)) stop -= rewriteCostBytes
    }
    return this.#at === chunk.length || this.#complete !== undefined
  }

  /** Handles the end of a line. Returns whether that was expensive. */
  #endLine (from: number, end: number): boolean {
    const chunk = this.#chunk
    // The LF of a CRLF whose line is already complete.
    const isSecond = from === end && this.#afterCr && chunk[end] === lf
    this.#afterCr = chunk[end] === cr
    if (isSecond) {
      this.#pass(chunk, end, end + 1)
    } else if (this.#passesLine) {
      this.#passesLine = false
      this.#out.append(chunk, from, end + 1)
    } else if (this.#line.length === 0) {
      return this.#readLine(chunk, from, end)
    } else {
      this.#line.append(chunk, from, end + 1)
      const isDear = this.#readLine(this.#line.view(), 0, this.#line.length - 1)
      this.#line.clear()
      return isDear
    }
    return false
  }

  #readLine (bytes: Buffer, from: number, end: number): boolean {
    if (from === end) return this.#endEvent(bytes[end] as number)
    if (isId(bytes, from, end)) return this.#idLine(bytes, from, end)
    if (this.#rewritesData && isData(bytes, from, end)) this.#keepData(bytes, from, end)
    else if (this.#rewritesData) this.#keepOther(bytes, from, end)
    this.#pass(bytes, from, end + 1)
    return false
  }

  // If data is rewritten, an event is held until it is complete.
  #pass (bytes: Buffer, from: number, to: number): void {
    if (!this.#rewritesData || (to - from === 1 && this.#event.length === 0)) {
      this.#out.append(bytes, from, to)
      return
    }
    this.#event.append(bytes, from, to)
    if (this.#event.length > this.#options.eventBytesMax) throw new EventTooLong(`An event is longer than ${this.#options.eventBytesMax} bytes.`)
  }

  #keepData (bytes: Buffer, from: number, end: number): void {
    if (this.#hasData) this.#data.append(newline)
    this.#hasData = true
    this.#data.append(bytes, startOfValue(bytes, from, end), end)
  }

  #keepOther (bytes: Buffer, from: number, end: number): void {
    this.#others.append(bytes, from, end)
    this.#others.append(newline)
  }

  #endEvent (end: number): boolean {
    if (this.#hasData) {
      this.#hasData = false
      this.#complete = { data: this.#data.take(), end }
      return true
    }
    this.#passEvent(end)
    return false
  }

  #passEvent (end: number): void {
    this.#others.clear()
    if (this.#event.length > 0) this.#out.append(this.#event.view())
    this.#event.clear()
    this.#out.append(end === lf ? newline : carriageReturn)
  }

  async #rewrite ({ data, end }: { readonly data: Buffer, readonly end: number }): Promise<void> {
    const rewritten = await this.#options.rewriteData?.(data)
    this.#complete = undefined
    if (rewritten === undefined) {
      this.#passEvent(end)
      return
    }
    for (const part of [this.#others.view(), dataField, rewritten, endOfEvent]) this.#out.append(part)
    this.#others.clear()
    this.#event.clear()
  }

  // An id may contain anything but a line end. The standard ignores an id with a NUL, and an empty one needs no seal.
  #idLine (bytes: Buffer, from: number, end: number): boolean {
    const id = bytes.toString('utf8', startOfValue(bytes, from, end), end)
    if (id === '' || id.includes('\0')) {
      if (this.#rewritesData) this.#keepOther(bytes, from, end)
      this.#pass(bytes, from, end + 1)
      return false
    }
    const line = Buffer.concat([Buffer.from(`id: ${this.#options.rewriteId(id)}`), bytes.subarray(end, end + 1)])
    if (this.#rewritesData) this.#keepOther(line, 0, line.length - 1)
    this.#pass(line, 0, line.length)
    return true
  }

  // An incomplete line is held only until it is known that it is not an id.
  #keepPart (from: number, end: number): void {
    if (from < end) this.#afterCr = false
    if (this.#passesLine) {
      this.#out.append(this.#chunk, from, end)
      return
    }
    this.#line.append(this.#chunk, from, end)
    const mayBeId = 'id:'.startsWith(this.#line.view().toString('latin1', 0, 3))
    if (mayBeId && this.#line.length > idBytesMax) throw new EventTooLong(`An event id is longer than ${idBytesMax} bytes.`)
    if (this.#line.length > this.#options.eventBytesMax) throw new EventTooLong(`A line is longer than ${this.#options.eventBytesMax} bytes.`)
    if (mayBeId || this.#rewritesData) return
    this.#passesLine = true
    this.#out.append(this.#line.view())
    this.#line.clear()
  }
}

const carriageReturn = Buffer.from('\r')

async function atOnce (work: EventStream, bytes: number): Promise<void> {
  // An expensive line ends a step early.
  while (!work.advance(bytes));
}

function isId (bytes: Buffer, from: number, end: number): boolean {
  return bytes[from] === 0x69 && bytes[from + 1] === 0x64 && (end === from + 2 || (end > from + 2 && bytes[from + 2] === colon))
}

function isData (bytes: Buffer, from: number, end: number): boolean {
  const isName = bytes[from] === 0x64 && bytes[from + 1] === 0x61 && bytes[from + 2] === 0x74 && bytes[from + 3] === 0x61
  return isName && (end === from + 4 || (end > from + 4 && bytes[from + 4] === colon))
}

/** Where the value of an `id` or `data` line begins: after the colon and one space. */
function startOfValue (bytes: Buffer, from: number, end: number): number {
  let at = from
  while (at < end && bytes[at] !== colon) at++
  if (at === end) return end
  return bytes[at + 1] === space && at + 1 < end ? at + 2 : at + 1
}
