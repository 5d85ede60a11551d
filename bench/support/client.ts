import { Agent, request } from 'node:http'
import type { Teardowns } from '../../test/support/servers.ts'

interface ClientOptions {
  readonly url: string
  /** Sent as a bearer token. */
  readonly credential: string
}

interface Answer {
  readonly body: any
  readonly ms: number
}

/** Asks one server over connections that stay open, and takes the time of each answer up to its last byte. */
export class Client {
  readonly #url: string
  readonly #headers: Readonly<Record<string, string>>
  readonly #agent = new Agent({ keepAlive: true })

  constructor (t: Teardowns, { url, credential }: ClientOptions) {
    this.#url = url
    this.#headers = { authorization: `Bearer ${credential}` }
    t.teardown(() => { this.#agent.destroy() })
  }

  /** Rejects unless the answer is below 400. */
  ask (method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<Answer> {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers = text === undefined ? this.#headers : { ...this.#headers, 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }
    const start = performance.now()
    return new Promise((resolve, reject) => {
      const sent = request(`${this.#url}${path}`, { method, headers, agent: this.#agent, timeout: 30_000 }, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => { chunks.push(chunk) })
        response.on('error', reject)
        response.on('end', () => {
          const ms = performance.now() - start
          const received = Buffer.concat(chunks).toString()
          if (response.statusCode! >= 400) reject(new Error(`${method} ${path}: ${response.statusCode} ${received}`))
          else resolve({ body: received === '' ? undefined : JSON.parse(received), ms })
        })
      })
      sent.on('timeout', () => { sent.destroy(new Error(`${method} ${path}: no answer in 30 s`)) }).on('error', reject).end(text)
    })
  }
}
