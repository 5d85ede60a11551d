const keptBytesMax = 64 * 1024
const copiedByHandMax = 48

/** Collects bytes in one buffer that doubles, so that a million small pieces cost no more time and memory than one large piece. */
export class Bytes {
  #bytes: Buffer
  length = 0

  /** `capacity`: the number of bytes, if it is known. */
  constructor (capacity = 0) {
    this.#bytes = Buffer.allocUnsafeSlow(capacity)
  }

  /** Appends `piece` from `from` up to `to`. */
  append (piece: Uint8Array, from = 0, to = piece.length): void {
    const length = this.length + to - from
    if (length > this.#bytes.length) this.#grow(length)
    const bytes = this.#bytes
    let at = this.length
    if (to - from > copiedByHandMax) bytes.set(piece.subarray(from, to), at)
    else for (let i = from; i < to; i++) bytes[at++] = piece[i] as number
    this.length = length
  }

  #grow (length: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(256, length, 2 * this.#bytes.length))
    larger.set(this.view())
    this.#bytes = larger
  }

  /** The bytes so far; valid until the next change. */
  view (): Buffer {
    return this.#bytes.subarray(0, this.length)
  }

  /** Returns all bytes and empties the collection. */
  take (): Buffer {
    const all = this.view()
    this.#bytes = none
    this.length = 0
    return all
  }

  clear (): void {
    if (this.#bytes.length > keptBytesMax) this.#bytes = none
    this.length = 0
  }
}

const none = Buffer.alloc(0)
