/** One verification as the client saw it. Times: `performance.now()` of the one process that sends, notes and checks. */
export interface Verification {
  /** Number of the process that was asked: a restarted replica is another process. */
  readonly process: number
  readonly key: number
  /** Read before the first byte of the request was written. */
  readonly sentAt: number
  /** Read after the last byte of the answer had arrived, or when the connection was lost. */
  readonly answeredAt: number
  /** Of HTTP; or `lost`, or `behindLast`. */
  readonly status: number
  /** Whether the connection had carried an answer before. */
  readonly warm: boolean
  /** What the service said of it, where that is kept: a 503 without an excuse is to be explained. */
  readonly said?: string | undefined
}

/** The connection was lost before the whole answer had come: the token may have been accepted, or not. */
export const lost = 0
/** The answer before it on its connection said that it was the last one there. Nobody answers what was sent behind that one. */
export const behindLast = 1

/** Every verification of a run, in columns: 26 bytes each, so that millions fit. */
export class Recorder {
  /** Sent over a connection that had carried the same token just before. */
  repeated = 0
  #size = 0
  #sentAt = new Float64Array(1 << 16)
  #answeredAt = new Float64Array(1 << 16)
  #key = new Uint32Array(1 << 16)
  #process = new Uint16Array(1 << 16)
  #status = new Uint16Array(1 << 16)
  #warm = new Uint8Array(1 << 16)
  // The service has few different texts; 0: none.
  #said = new Uint8Array(1 << 16)
  readonly #texts: Array<string | undefined> = [undefined]

  get size (): number {
    return this.#size
  }

  add ({ process, key, sentAt, answeredAt, status, warm, said }: Verification): void {
    if (this.#size === this.#key.length) this.#grow()
    const at = this.#size++
    this.#sentAt[at] = sentAt
    this.#answeredAt[at] = answeredAt
    this.#key[at] = key
    this.#process[at] = process
    this.#status[at] = status
    this.#warm[at] = warm ? 1 : 0
    this.#said[at] = this.#placeOf(said)
  }

  at (index: number): Verification {
    if (index < 0 || index >= this.#size) throw new RangeError(`There is no verification ${index}.`)
    return {
      process: this.#process[index] ?? 0,
      key: this.#key[index] ?? 0,
      sentAt: this.#sentAt[index] ?? NaN,
      answeredAt: this.#answeredAt[index] ?? NaN,
      status: this.#status[index] ?? lost,
      warm: this.#warm[index] === 1,
      said: this.#texts[this.#said[index] ?? 0]
    }
  }

  #placeOf (text: string | undefined): number {
    const known = this.#texts.indexOf(text)
    if (known >= 0) return known
    return this.#texts.length > 0xff ? 0 : this.#texts.push(text) - 1
  }

  #grow (): void {
    const size = this.#size * 2
    this.#sentAt = enlarged(this.#sentAt, new Float64Array(size))
    this.#answeredAt = enlarged(this.#answeredAt, new Float64Array(size))
    this.#key = enlarged(this.#key, new Uint32Array(size))
    this.#process = enlarged(this.#process, new Uint16Array(size))
    this.#status = enlarged(this.#status, new Uint16Array(size))
    this.#warm = enlarged(this.#warm, new Uint8Array(size))
    this.#said = enlarged(this.#said, new Uint8Array(size))
  }
}

function enlarged<Column extends { set (from: Column): void }> (from: Column, to: Column): Column {
  to.set(from)
  return to
}
