import { isJsonArray, isJsonObject, type Json, type Place, type ReaderOptions, type StrictJsonReader } from './strict-json.ts'

export interface ToolListRules {
  /** The tools that the key may call; every tool where this is left out. */
  readonly mayCall?: ((tool: string) => boolean) | undefined
  /** Whether the answer must say that caches may not share it (`cacheScope`, 2026-07-28). */
  readonly markPrivate: boolean
}

interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
}

const wanted: ReadonlySet<string> = new Set(['result', 'tools', 'cacheScope', 'name'])

/** The values of an answer that are kept: the path to the tools (in a batch: of each answer), and the members of the tools. */
export const toolListOutline: ReaderOptions = {
  keeps: (kind, depth, name) => kind === 'array' ? depth === 1 || name === 'tools' : depth <= 5 && (name === undefined || name === 'result'),
  wants: (_container, name) => wanted.has(name),
  placed: true
}

// A tool costs about as much as reading this many bytes: the patterns of the policy are tried on each name.
const toolCostBytes = 512

/**
 * The upstream's answer to `tools/list` as one key may see it. A tool in the list is not a permission: every call is checked.
 * `reader` must have read the answer to its end, with `toolListOutline`.
 */
export class ToolListFit {
  readonly #reader: StrictJsonReader
  readonly #rules: ToolListRules
  readonly #answers: readonly Json[]
  #next = 0
  readonly #edits: Edit[] = []
  #dropping: Dropping | undefined

  constructor (reader: StrictJsonReader, rules: ToolListRules) {
    const { value } = reader.result
    this.#reader = reader
    this.#rules = rules
    this.#answers = isJsonArray(value) ? value : [value]
  }

  /** Does as much work as reading about `bytesMax`. Returns whether it is complete. */
  advance (bytesMax: number): boolean {
    for (let left = bytesMax; left > 0; left -= toolCostBytes) {
      if (this.#dropping?.advance() === false) continue
      if (this.#dropping !== undefined) this.#edits.push(...this.#dropping.end())
      this.#dropping = undefined
      const answer = this.#answers[this.#next++]
      if (answer === undefined) return true
      this.#begin(answer)
    }
    return false
  }

  /** The changed answer; `undefined` if nothing was changed. */
  get result (): Buffer | undefined {
    return this.#edits.length === 0 ? undefined : edited(this.#reader.result.bytes, this.#edits)
  }

  #begin (answer: Json): void {
    const { places } = this.#reader
    const result = memberOf(places, answer, 'result')
    const tools = result === undefined ? undefined : memberOf(places, result.value, 'tools')
    if (result === undefined || tools === undefined || !isJsonArray(tools.value)) return
    const { mayCall, markPrivate } = this.#rules
    if (mayCall !== undefined) this.#dropping = new Dropping(places.get(tools.value) ?? [], tools, mayCall)
    if (markPrivate) this.#edits.push(markedPrivate(result, memberOf(places, result.value, 'cacheScope')))
  }
}

/** Finds the tools of one list that must be removed, one tool after the other. */
class Dropping {
  readonly #items: readonly Place[]
  readonly #tools: Place
  readonly #mayCall: (tool: string) => boolean
  readonly #runs: Edit[] = []
  #next = 0
  #end: number
  #isFirst = true

  constructor (items: readonly Place[], tools: Place, mayCall: (tool: string) => boolean) {
    this.#items = items
    this.#tools = tools
    this.#mayCall = mayCall
    this.#end = tools.start + 1
  }

  /** Examines one more tool. Returns whether there was none left. */
  advance (): boolean {
    const item = this.#items[this.#next++]
    if (item === undefined) return true
    const name = isJsonObject(item.value) ? item.value.get('name') : undefined
    if (typeof name !== 'string' || !this.#mayCall(name)) return false
    if (this.#end < item.start) this.#runs.push({ start: this.#end, end: item.start, text: this.#isFirst ? '' : ',' })
    this.#end = item.end
    this.#isFirst = false
    return false
  }

  end (): readonly Edit[] {
    const end = this.#tools.end - 1
    if (this.#end < end) this.#runs.push({ start: this.#end, end, text: '' })
    return this.#runs
  }
}

// Inserted at the end of the result, after its other members: it has at least `tools`.
function markedPrivate (result: Place, cacheScope: Place | undefined): Edit {
  return cacheScope === undefined
    ? { start: result.end - 1, end: result.end - 1, text: ',"cacheScope":"private"' }
    : { start: cacheScope.start, end: cacheScope.end, text: '"private"' }
}

function memberOf (places: ReadonlyMap<Json, readonly Place[]>, value: Json, name: string): Place | undefined {
  return isJsonObject(value) ? places.get(value)?.find((place) => place.name === name) : undefined
}

function edited (bytes: Buffer, edits: readonly Edit[]): Buffer {
  const pieces: Buffer[] = []
  let from = 0
  for (const { start, end, text } of edits.toSorted((a, b) => a.start - b.start)) {
    pieces.push(bytes.subarray(from, start), Buffer.from(text))
    from = end
  }
  return Buffer.concat([...pieces, bytes.subarray(from)])
}
