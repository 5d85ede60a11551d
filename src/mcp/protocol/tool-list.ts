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

/** What is to be kept of an answer: the way down to the tools, or, in a batch, to those of each answer, and the tools' own members. */
export const toolListOutline: ReaderOptions = {
  keeps: (kind, depth, name) => kind === 'array' ? depth === 1 || name === 'tools' : depth <= 5 && (name === undefined || name === 'result'),
  placed: true
}

/**
 * The upstream's answer to `tools/list` as one key may see it; `undefined`: as it came. What it leaves in is no permission: every
 * call is judged again. `reader` has read the answer to its end, by `toolListOutline`.
 */
export function fitToolList (reader: StrictJsonReader, rules: ToolListRules): Buffer | undefined {
  const { value, bytes } = reader.result
  const answers: readonly Json[] = isJsonArray(value) ? value : [value]
  const edits = answers.flatMap((answer) => editsOf(answer, reader.places, rules))
  return edits.length === 0 ? undefined : edited(bytes, edits)
}

function editsOf (answer: Json, places: ReadonlyMap<Json, readonly Place[]>, { mayCall, markPrivate }: ToolListRules): Edit[] {
  const result = memberOf(places, answer, 'result')
  const tools = result === undefined ? undefined : memberOf(places, result.value, 'tools')
  if (result === undefined || tools === undefined || !isJsonArray(tools.value)) return []
  const edits: Edit[] = mayCall === undefined ? [] : dropped(places.get(tools.value) ?? [], tools, mayCall)
  if (markPrivate) edits.push(markedPrivate(result, memberOf(places, result.value, 'cacheScope')))
  return edits
}

function dropped (items: readonly Place[], tools: Place, mayCall: (tool: string) => boolean): Edit[] {
  const runs: Edit[] = []
  let end = tools.start + 1
  let isFirst = true
  for (const item of items) {
    const name = isJsonObject(item.value) ? item.value.get('name') : undefined
    if (typeof name !== 'string' || !mayCall(name)) continue
    if (end < item.start) runs.push({ start: end, end: item.start, text: isFirst ? '' : ',' })
    end = item.end
    isFirst = false
  }
  return end === tools.end - 1 ? runs : [...runs, { start: end, end: tools.end - 1, text: '' }]
}

// Before the end of the result, behind its other members: there is at least `tools`.
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
