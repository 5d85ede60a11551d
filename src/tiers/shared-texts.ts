/** A text that many rows refer to by its place. */
export interface SharedText {
  readonly text: string
  rows: number
  isDropped: boolean
}

/** Texts that many keys have in common, such as the id of their workspace: held once, and let go with the last row that has it. */
export class SharedTexts {
  readonly #shared: SharedText[] = []
  readonly #places = new Map<string, number>()
  readonly #free: number[] = []

  /** The place of a text, for one more row. */
  take (text: string): number {
    const place = this.#places.get(text) ?? this.#add(text)
    this.#shared[place]!.rows++
    return place
  }

  at (place: number): SharedText {
    return this.#shared[place]!
  }

  /** One row less has what stands at this place. */
  release (place: number): void {
    const shared = this.#shared[place]!
    if (--shared.rows > 0) return
    if (!shared.isDropped) this.#places.delete(shared.text)
    this.#free.push(place)
  }

  /** Marks the text for all rows that have it; rows to come take a place of their own. Answers how many have it. */
  drop (text: string): number {
    const place = this.#places.get(text)
    if (place === undefined) return 0
    const shared = this.#shared[place]!
    shared.isDropped = true
    this.#places.delete(text)
    return shared.rows
  }

  #add (text: string): number {
    const place = this.#free.pop() ?? this.#shared.length
    this.#shared[place] = { text, rows: 0, isDropped: false }
    this.#places.set(text, place)
    return place
  }
}
