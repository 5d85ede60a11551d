const blankLine = /(?:\r\n|\n|\r(?!\n)){2}/
const line = /\r\n|\n|\r/

/** An event is longer than anybody has room for. */
export class EventTooLong extends Error {
  override readonly name = 'EventTooLong'
}

interface EventStreamOptions {
  /** What becomes of an event's `data`; the same text leaves the event as it came, byte for byte. */
  readonly rewrite: (data: string) => string
  /** The longest event in characters; a longer one throws `EventTooLong`. */
  readonly eventLengthMax: number
}

/** Rewrites the data of server-sent events (WHATWG HTML, 9.2) as they pass, whatever pieces they come in. */
export class EventStream {
  readonly #rewrite: (data: string) => string
  readonly #eventLengthMax: number
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  #rest = ''

  constructor ({ rewrite, eventLengthMax }: EventStreamOptions) {
    this.#rewrite = rewrite
    this.#eventLengthMax = eventLengthMax
  }

  /** The events that `chunk` completes. */
  push (chunk: Uint8Array): string {
    this.#rest += this.#decoder.decode(chunk, { stream: true })
    let whole = ''
    for (let end = blankLine.exec(this.#rest); end !== null; end = blankLine.exec(this.#rest)) {
      const after = end.index + end[0].length
      whole += this.#event(this.#rest.slice(0, after))
      this.#rest = this.#rest.slice(after)
    }
    if (this.#rest.length > this.#eventLengthMax) throw new EventTooLong(`An event is longer than ${this.#eventLengthMax} characters.`)
    return whole
  }

  #event (block: string): string {
    const lines = block.split(line).filter((text) => text !== '')
    const held = lines.filter(isData).map((text) => text.replace(/^data:? ?/, ''))
    const data = held.join('\n')
    const rewritten = held.length === 0 ? data : this.#rewrite(data)
    if (rewritten === data) return block
    return [...lines.filter((text) => !isData(text)), ...rewritten.split('\n').map((text) => `data: ${text}`), '', ''].join('\n')
  }
}

function isData (text: string): boolean {
  return text === 'data' || text.startsWith('data:')
}
