import type { Teardowns } from './servers.ts'
import type { ServerResponse } from 'node:http'
import { recordingUpstream, type Received } from './recording-upstream.ts'

type Pairs = ReadonlyArray<readonly [string, Loose]>
type Loose = string | { readonly object: Pairs } | { readonly array: readonly Loose[] }

/**
 * An upstream that understands a request in every way that some reader might: members doubled (first or last), in any case,
 * in wide letters or with characters passed over; batches however deep; several values in one body; UTF-16; the method and
 * the tool from headers or the query string. `writes` is whatever calls the tool `delete` in any of these readings.
 */
export async function liberalUpstream (t: Teardowns) {
  const { url, received } = await recordingUpstream(t, answer)
  return { url, received, writes: () => received.filter(mayWrite) }
}

// The gateway asks which versions there are, and would wait for an answer.
function answer ({ body }: Received, response: ServerResponse): void {
  const method = /"method":"(initialize|server\/discover)"/.exec(body)?.[1]
  const id = /"id":(\d+)/.exec(body)?.[1] ?? 1
  response.setHeader('content-type', 'application/json')
  if (method === 'initialize') response.end(`{"jsonrpc":"2.0","id":${id},"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"liberal","version":"1"}}}`)
  else if (method === 'server/discover') response.writeHead(404).end(`{"jsonrpc":"2.0","id":${id},"error":{"code":-32601,"message":"Method not found"}}`)
  else response.end('{"jsonrpc":"2.0","id":1,"result":{}}')
}

export function mayWrite (request: Received): boolean {
  const { body, headers, url } = request
  const query = new URL(url, 'http://x').searchParams
  if (isWrite(headers['mcp-method'], decoded(headers['mcp-name'])) || isWrite(query.get('method'), query.get('name'))) return true
  const bytes = Buffer.from(body, 'latin1')
  const texts = [bytes.toString('utf8'), bytes.toString('utf16le'), bytes.length % 2 === 0 ? Buffer.from(bytes).swap16().toString('utf16le') : '']
  return texts.some((text) => valuesOf(text).some(holdsWrite))
}

function holdsWrite (value: Loose): boolean {
  if (typeof value === 'string') return false
  if ('array' in value) return value.array.some(holdsWrite)
  const methods = all(value, 'method')
  const names = all(value, 'params').flatMap((params) => [...all(params, 'name'), ...(typeof params === 'string' ? [] : 'array' in params ? params.array : [])])
  return methods.some((method) => names.some((name) => isWrite(text(method), text(name))))
}

function all (value: Loose, member: string): Loose[] {
  return typeof value === 'string' || 'array' in value ? [] : value.object.flatMap(([name, held]) => folded(name) === member ? [held] : folded(name) === 'proto' ? all(held, member) : [])
}

function text (value: Loose): string {
  return typeof value === 'string' ? value : 'array' in value && value.array[0] !== undefined ? text(value.array[0]) : ''
}

function isWrite (method: unknown, name: unknown): boolean {
  return folded(String(method)) === 'toolscall' && folded(String(name)) === 'delete'
}

function folded (name: string): string {
  return name.split('\0')[0]?.normalize('NFKC').toUpperCase().toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, '') ?? ''
}

function decoded (header: string | string[] | undefined): string {
  const base64 = /^=\?base64\?(.*)\?=$/i.exec(String(header))?.[1]
  return base64 === undefined ? String(header) : Buffer.from(base64, 'base64').toString()
}

/** Every value that a very tolerant reader could find in a text. */
function valuesOf (text: string): Loose[] {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+/gs) ?? []
  const values: Loose[] = []
  let at = 0
  const read = (): Loose => {
    const token = tokens[at++] ?? ''
    if (token === '{') return { object: pairs() }
    if (token === '[') return { array: items() }
    return unquoted(token)
  }
  const items = (): Loose[] => {
    const found: Loose[] = []
    while (at < tokens.length && tokens[at] !== ']') if (tokens[at] === ',') at++; else found.push(read())
    at++
    return found
  }
  const pairs = (): Pairs => {
    const found: (readonly [string, Loose])[] = []
    while (at < tokens.length && tokens[at] !== '}') {
      if (tokens[at] === ',' || tokens[at] === ':') { at++; continue }
      const name = read()
      if (tokens[at] === ':') at++
      found.push([typeof name === 'string' ? name : '', read()])
    }
    at++
    return found
  }
  while (at < tokens.length) values.push(read())
  return values
}

function unquoted (token: string): string {
  try {
    return String(JSON.parse(token))
  } catch {
    return token.replaceAll('"', '')
  }
}
