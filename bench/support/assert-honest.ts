import { open } from 'node:fs/promises'
import { TokenFormat } from '../../src/core/token.ts'
import type { Contender } from './contender.ts'
import type { RequestShape } from './load.ts'

/** Rejects unless a contender accepts the first token of its file, and refuses tokens of no key, and none at all. */
export async function assertHonest ({ name, tokensFile, shape }: Contender, url: string): Promise<void> {
  const known = await firstLineOf(tokensFile)
  const middle = known.length >> 1
  const altered = `${known.slice(0, middle)}${/[xX]/.test(known[middle]!) ? 'y' : 'x'}${known.slice(middle + 1)}`
  if (!await isAccepted(url, shape, known)) throw new Error(`${name} refuses a token of its file.`)
  if (await isAccepted(url, shape, altered)) throw new Error(`${name} accepts a token in which one character is another.`)
  if (await isAccepted(url, shape, new TokenFormat().mint().token)) throw new Error(`${name} accepts a token that it never saw.`)
  if (await isAccepted(url, shape, '')) throw new Error(`${name} accepts a request without a token.`)
}

/** Rejects on an answer that is neither: a contender that fails would refuse everybody. */
async function isAccepted (url: string, { method = 'GET', path, header, scheme, headers = {}, body }: RequestShape, token: string): Promise<boolean> {
  const name = header === null || token === '' ? undefined : header ?? 'authorization'
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { ...headers, ...name === undefined ? {} : { [name]: `${scheme ?? (header === undefined ? 'Bearer ' : '')}${token}` } },
    body: body?.replaceAll('TOKEN', token) ?? null,
    signal: AbortSignal.timeout(10_000)
  })
  const text = await response.text()
  if (response.status === 401) return false
  if (response.status !== 200) throw new Error(`${url}${path} answers ${response.status}: ${text}`)
  // A route that is asked about a token says in its answer what it thinks of it.
  return header !== null || (JSON.parse(text) as { valid: boolean }).valid
}

async function firstLineOf (path: string): Promise<string> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(1024), 0, 1024, 0)
    return buffer.toString('utf8', 0, bytesRead).split('\n')[0]!
  } finally {
    await file.close()
  }
}
