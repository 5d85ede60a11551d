import { createPublicKey, verify, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Clock } from '../core/clock.ts'
import { unavailable } from '../core/errors.ts'
import { failureOf, type Logger } from '../core/logger.ts'

interface GithubKeysOptions {
  /** The path of a file, or an `https:` URL (`http:` on this machine), with what GitHub answers at `/meta/public_keys/secret_scanning`. */
  readonly source: string
  readonly clock: Clock
  readonly log: Logger
  /** Milliseconds that reading may take. 5000. */
  readonly timeoutMs?: number
}

const freshMs = 3_600_000
// GitHub rarely changes its keys, so old keys are used while new ones cannot be read; an unknown key causes another read.
const staleMs = 24 * 3_600_000
// An unknown key identifier causes another read. Callers choose the identifier, so such reads are limited.
const againMs = 60_000
const bytesMax = 256 * 1024

/** The keys that GitHub signs its reports of leaked tokens with. */
export class GithubKeys {
  readonly #options: GithubKeysOptions
  #keys: ReadonlyMap<string, KeyObject> = new Map()
  #readAt = -Infinity
  #triedAt = -Infinity
  #reading: Promise<void> | undefined

  constructor (options: GithubKeysOptions) {
    this.#options = options
  }

  /** Whether the signature over exactly these bytes is by the key of that name. Rejects with `unavailable` where the keys cannot be had. */
  async hasSigned (body: Buffer, { identifier, signature }: { readonly identifier: string, readonly signature: string }): Promise<boolean> {
    const key = await this.#find(identifier)
    return key !== undefined && verify('sha256', body, key, Buffer.from(signature, 'base64'))
  }

  async #find (identifier: string): Promise<KeyObject | undefined> {
    const now = this.#options.clock.monotonicMs()
    const age = now - this.#readAt
    const known = this.#keys.get(identifier)
    if (known !== undefined && age < freshMs) return known
    if (known === undefined && age < againMs) return undefined
    // Concurrent callers share one read, and after a failure the next read waits.
    if (this.#reading !== undefined || now - this.#triedAt >= againMs || age === Infinity) await this.#read(now)
    if (now - this.#readAt < freshMs) return this.#keys.get(identifier)
    if (known !== undefined && age < staleMs) return known
    throw unavailable('The public keys of GitHub cannot be read right now. Nothing was done; send the report again later.')
  }

  async #read (now: number): Promise<void> {
    this.#triedAt = now
    this.#reading ??= this.#load().then((keys) => {
      this.#keys = keys
      this.#readAt = now
    }, (error: unknown) => {
      this.#options.log.warn(failureOf(error), 'the public keys of GitHub cannot be read: check LEAKS_GITHUB_KEYS')
    }).finally(() => { this.#reading = undefined })
    await this.#reading
  }

  async #load (): Promise<ReadonlyMap<string, KeyObject>> {
    const { source, timeoutMs = 5000 } = this.#options
    const signal = AbortSignal.timeout(timeoutMs)
    const text = /^https?:/.test(source) ? await fetched(source, signal) : await readFile(source, { encoding: 'utf8', signal })
    const { public_keys: listed } = JSON.parse(text) as { public_keys?: unknown }
    if (!Array.isArray(listed)) throw new TypeError('There is no list of keys.')
    const keys = new Map<string, KeyObject>()
    for (const { key_identifier: identifier, key } of listed as Array<{ key_identifier?: unknown, key?: unknown }>) {
      if (typeof identifier !== 'string' || typeof key !== 'string') continue
      const parsed = createPublicKey(key)
      if (parsed.asymmetricKeyType === 'ec' && parsed.asymmetricKeyDetails?.namedCurve === 'prime256v1') keys.set(identifier, parsed)
    }
    if (keys.size === 0) throw new TypeError('There is no P-256 key among them.')
    return keys
  }
}

async function fetched (url: string, signal: AbortSignal): Promise<string> {
  const answer = await fetch(url, { signal, redirect: 'error', headers: { accept: 'application/json', 'user-agent': 'navis-keys' } })
  if (!answer.ok || answer.body === null) throw Object.assign(new Error('It was refused.'), { code: `HTTP ${answer.status}` })
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > bytesMax) throw new RangeError('It is too long.')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
