import type { IncomingHttpHeaders } from 'node:http'
import type { KeyRecord } from '../core/key-record.ts'
import { scopes } from '../core/scopes.ts'
import type { UpstreamAnswer } from './upstream-client.ts'

type Headers = Record<string, string>

// The headers of a client that are passed on to an upstream. All others are dropped: tokens, cookies, forged x-navis-*, method overrides,
// and headers that do not exist yet.
const passedUp = ['accept', 'accept-language', 'user-agent', 'traceparent', 'tracestate', 'baggage']
const passedDown = ['content-encoding', 'mcp-protocol-version', 'retry-after', 'x-accel-buffering']

/** The client's headers for the upstream. */
export function passableHeaders (headers: IncomingHttpHeaders): Headers {
  const passed: Headers = { accept: 'application/json, text/event-stream' }
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === 'string' && (passedUp.includes(name) || name.startsWith('mcp-param-'))) passed[name] = value
  }
  return passed
}

/** The headers that identify the caller. */
export function identityHeaders (key: KeyRecord): Headers {
  return {
    'x-navis-key-id': key.id,
    'x-navis-workspace-id': key.workspaceId,
    ...(key.ownerId === null ? {} : { 'x-navis-owner-id': key.ownerId }),
    'x-navis-scopes': scopes[key.scope].implies.join(' ')
  }
}

/** The headers of an upstream's answer that a client may see. No cache may share an answer between keys. */
export function answerHeaders (headers: IncomingHttpHeaders): Headers {
  const passed: Headers = { 'cache-control': 'no-store, no-transform' }
  for (const name of passedDown) {
    const value = headers[name]
    if (typeof value === 'string') passed[name] = value
  }
  return passed
}

/** The media type of an answer, in lower case; empty if it has none. */
export function typeOf ({ headers }: UpstreamAnswer): string {
  return headers['content-type']?.toLowerCase() ?? ''
}

const toldBytesMax = 2048
const toldLengthMax = 500
const wholeBytesMax = 64 * 1024

/** A text of an upstream as one line of a message, at most 500 characters. */
export function oneLine (text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim().slice(0, toldLengthMax)
}

/** The whole body of an answer; `undefined` if it is encoded or longer than 64 KiB. Rejects if it breaks off. */
export async function wholeText (answer: UpstreamAnswer): Promise<string | undefined> {
  const encoding = answer.headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') return undefined
  const pieces: Buffer[] = []
  let length = 0
  for await (const piece of answer.stream) {
    pieces.push(piece as Buffer)
    length += (piece as Buffer).length
    if (length > wholeBytesMax) return undefined
  }
  return Buffer.concat(pieces).toString('utf8')
}

/** The text of an upstream's refusal, in one line; empty if there is none, or if it contains a token. */
export async function told (answer: UpstreamAnswer, tokens: { foundIn (text: string): boolean }): Promise<string> {
  if (!/^(text\/plain|application\/[a-z.+-]*json)\s*(;|$)/.test(typeOf(answer)) || answer.headers['content-encoding'] !== undefined) return ''
  const pieces: Buffer[] = []
  let length = 0
  const tooSlow = setTimeout(() => { answer.stream.destroy() }, 1000)
  try {
    for await (const piece of answer.stream) {
      pieces.push(piece as Buffer)
      length += (piece as Buffer).length
      if (length >= toldBytesMax) break
    }
  } catch {
    // The body ended early: use the text that arrived.
  } finally {
    clearTimeout(tooSlow)
  }
  const text = Buffer.concat(pieces).toString('utf8')
  return tokens.foundIn(text) ? '' : oneLine(text)
}
