/** An event is longer than there is room for. */
export class EventTooLong extends Error {
  override readonly name = 'EventTooLong'
}

interface EventStreamOptions {
  /** What becomes of an event's id. */
  readonly rewriteId: (id: string) => string
  /** What becomes of an event's `data`; `undefined`: it stays as it came. Left out: data passes without waiting for its event's end. */
  readonly rewriteData?: ((data: Buffer) => Promise<Buffer | undefined>) | undefined
  /** The longest event whose data is rewritten, in bytes; a longer one throws `EventTooLong`. */
  readonly eventBytesMax: number
}

const lf = 0x0a
const cr = 0x0d
const idBytesMax = 8192

/**
 * Rewrites server-sent events (WHATWG HTML, 9.2) as they pass, whatever pieces they come in. Each byte is looked at once, so that
 * an event that never ends, or comes a byte at a time, costs no more than any other.
 */
export class EventStream {
  readonly #options: EventStreamOptions
  /** The line that is not complete yet, where it has to be held. */
  readonly #line = new Bytes()
  /** The event that is not complete yet, and its data, where data is rewritten. */
  readonly #event = new Bytes()
  readonly #others = new Bytes()
  readonly #data = new Bytes()
  #hasData = false
  #passesLine = false
  #afterCr = false

  constructor (options: EventStreamOptions) {
    this.#options = options
  }

  /** What may pass on now that `chunk` has come. */
  async push (chunk: Buffer): Promise<Buffer> {
    const out: Buffer[] = []
    let from = 0
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]
      // The second half of a line's end whose line is complete already.
      const isSecond = byte === lf && this.#afterCr
      this.#afterCr = byte === cr
      if (byte !== lf && byte !== cr) continue
      const line = chunk.subarray(from, i + 1)
      from = i + 1
      const wait = isSecond ? this.#pass(line, out) : this.#endLine(line, out)
      if (wait !== undefined) await wait
    }
    this.#keepRest(chunk.subarray(from), out)
    return out.length === 1 ? out[0] as Buffer : Buffer.concat(out)
  }

  #endLine (part: Buffer, out: Buffer[]): Promise<void> | undefined {
    if (this.#passesLine) {
      this.#passesLine = false
      out.push(part)
      return undefined
    }
    const line = this.#line.length === 0 ? part : this.#line.take(part)
    const content = line.subarray(0, -1)
    if (content.length === 0) return this.#endEvent(line, out)
    const told = isField(content, 'id') ? this.#idLine(line, content) : line
    if (this.#rewritesData && isField(content, 'data')) this.#keepData(content)
    else if (this.#rewritesData) this.#others.append(told.subarray(0, -1), newline)
    this.#pass(told, out)
    return undefined
  }

  get #rewritesData (): boolean {
    return this.#options.rewriteData !== undefined
  }

  // Where data is rewritten, an event waits for its end.
  #pass (line: Buffer, out: Buffer[]): undefined {
    if (!this.#rewritesData || (line.length === 1 && this.#event.length === 0)) {
      out.push(line)
      return
    }
    this.#event.append(line)
    if (this.#event.length > this.#options.eventBytesMax) throw new EventTooLong(`An event is longer than ${this.#options.eventBytesMax} bytes.`)
  }

  #keepData (content: Buffer): void {
    if (this.#hasData) this.#data.append(newline)
    this.#hasData = true
    this.#data.append(valueOf(content))
  }

  #endEvent (blank: Buffer, out: Buffer[]): Promise<void> | undefined {
    const { rewriteData } = this.#options
    if (rewriteData !== undefined && this.#hasData) return this.#rewriteEvent(rewriteData, blank, out)
    this.#others.take()
    out.push(this.#event.take(), blank)
    return undefined
  }

  async #rewriteEvent (rewrite: (data: Buffer) => Promise<Buffer | undefined>, blank: Buffer, out: Buffer[]): Promise<void> {
    const event = this.#event.take()
    const others = this.#others.take()
    this.#hasData = false
    const rewritten = await rewrite(this.#data.take())
    if (rewritten === undefined) out.push(event, blank)
    else out.push(others, Buffer.from('data: '), rewritten, Buffer.from('\n\n'))
  }

  // An id may hold anything but a line's end; one with a NUL is none (the standard ignores it), and neither is an empty one.
  #idLine (line: Buffer, content: Buffer): Buffer {
    const id = valueOf(content).toString('utf8')
    if (id === '' || id.includes('\0')) return line
    return Buffer.concat([Buffer.from(`id: ${this.#options.rewriteId(id)}`), line.subarray(content.length)])
  }

  // Of a line whose end has not come: enough is held to know whether it is an id.
  #keepRest (rest: Buffer, out: Buffer[]): void {
    if (rest.length === 0) return
    if (this.#passesLine) {
      out.push(rest)
      return
    }
    this.#line.append(rest)
    const begun = this.#line.view()
    const mayBeId = 'id:'.startsWith(begun.toString('latin1', 0, 3))
    if (mayBeId && begun.length > idBytesMax) throw new EventTooLong(`An event id is longer than ${idBytesMax} bytes.`)
    if (this.#line.length > this.#options.eventBytesMax) throw new EventTooLong(`A line is longer than ${this.#options.eventBytesMax} bytes.`)
    if (mayBeId || this.#rewritesData) return
    this.#passesLine = true
    out.push(this.#line.take())
  }
}

const newline = Buffer.from('\n')

function isField (content: Buffer, name: string): boolean {
  return content.toString('latin1', 0, name.length) === name && (content.length === name.length || content[name.length] === 0x3a)
}

function valueOf (content: Buffer): Buffer {
  const colon = content.indexOf(0x3a)
  if (colon === -1) return content.subarray(content.length)
  return content.subarray(content[colon + 1] === 0x20 ? colon + 2 : colon + 1)
}

/** Bytes that come piece by piece, in one buffer that doubles: many small pieces cost no more than a large one. */
class Bytes {
  #bytes = Buffer.alloc(0)
  length = 0

  append (...pieces: readonly Buffer[]): void {
    for (const piece of pieces) this.#append(piece)
  }

  #append (piece: Buffer): void {
    const length = this.length + piece.length
    if (length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(256, length, 2 * this.#bytes.length))
      larger.set(this.view())
      this.#bytes = larger
    }
    this.#bytes.set(piece, this.length)
    this.length = length
  }

  view (): Buffer {
    return this.#bytes.subarray(0, this.length)
  }

  /** All of it, and `last` behind it; nothing is left. */
  take (last?: Buffer): Buffer {
    if (last !== undefined) this.append(last)
    const all = this.view()
    this.#bytes = Buffer.alloc(0)
    this.length = 0
    return all
  }
}
