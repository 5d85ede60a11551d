import { createHmac, hash } from 'node:crypto'
import { lookup, type LookupAddress } from 'node:dns'
import { Agent as HttpAgent, request as httpRequest, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { LookupFunction } from 'node:net'
import type { KeyEvent } from '../core/events.ts'
import { failureOf } from '../core/logger.ts'
import { addressOf, mayReach } from '../core/webhook-address.ts'
import { sendMs, type Receiver, type SendOutcome } from '../core/webhooks.ts'
import { toWireEvent } from './wire.ts'

interface WebhookReceiverOptions {
  /** `https:`, or `http:` on loopback. */
  readonly url: string
  /** `whsec_` and base64, each. Every event is signed with every one of them. */
  readonly secrets: readonly string[]
  /** Ranges of private addresses that events may be sent to, in canonical form. None. */
  readonly allowedCidrs?: readonly string[]
  /** Milliseconds that sending may take. 15,000. */
  readonly timeoutMs?: number
}

// Answers are not read. An answer with a longer body is cut off.
const bodyBytesMax = 16 * 1024
const idleMs = 4000
const secretPrefix = 'whsec_'

/** Sends events to one URL by Standard Webhooks: signed, and only to addresses that are meant to be reached. Redirects are not followed. */
export class WebhookReceiver implements Receiver {
  readonly id: string
  readonly name: string
  readonly #url: URL
  readonly #secrets: readonly Buffer[]
  readonly #allowedCidrs: readonly string[]
  readonly #timeoutMs: number
  readonly #agent: HttpAgent | HttpsAgent

  constructor ({ url, secrets, allowedCidrs = [], timeoutMs = sendMs }: WebhookReceiverOptions) {
    this.#url = new URL(url)
    this.id = hash('sha256', this.#url.href, 'hex')
    this.name = this.#url.origin
    this.#secrets = secrets.map((secret) => Buffer.from(secret.slice(secretPrefix.length), 'base64'))
    this.#allowedCidrs = allowedCidrs
    this.#timeoutMs = timeoutMs
    this.#agent = new (this.#url.protocol === 'https:' ? HttpsAgent : HttpAgent)({ keepAlive: true, timeout: idleMs, lookup: this.#lookup })
  }

  async send (event: KeyEvent, signal: AbortSignal): Promise<SendOutcome> {
    const address = addressOf(this.#url)
    if (address !== undefined && !mayReach(this.#url, address, this.#allowedCidrs)) return { isConfirmed: false, failure: addressForbidden }
    const body = JSON.stringify(toWireEvent(event))
    const timestamp = Math.floor(Date.now() / 1000)
    const timeout = AbortSignal.timeout(this.#timeoutMs)
    try {
      return await this.#post(body, AbortSignal.any([signal, timeout]), {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        'user-agent': 'navis-keys',
        'webhook-id': event.id,
        'webhook-timestamp': timestamp,
        'webhook-signature': this.#secrets.map((secret) => `v1,${createHmac('sha256', secret).update(`${event.id}.${timestamp}.${body}`).digest('base64')}`).join(' ')
      })
    } catch (error) {
      return { isConfirmed: false, failure: timeout.aborted ? 'TIMEOUT' : failureOf(error).failure }
    }
  }

  close (): void {
    this.#agent.destroy()
  }

  #post (body: string, signal: AbortSignal, headers: NonNullable<RequestOptions['headers']>): Promise<SendOutcome> {
    return new Promise((resolve, reject) => {
      const send = this.#url.protocol === 'https:' ? httpsRequest : httpRequest
      const request = send(this.#url, { method: 'POST', agent: this.#agent, signal, headers }, (response) => {
        const { statusCode = 0 } = response
        let bytes = 0
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length
          if (bytes > bodyBytesMax) request.destroy()
        })
        response.on('error', () => {})
        resolve(statusCode >= 200 && statusCode < 300
          ? { isConfirmed: true }
          : { isConfirmed: false, failure: `HTTP ${statusCode}`, retryAfterMs: delayOf(response.headers['retry-after']) })
      })
      request.on('error', reject)
      request.end(body)
    })
  }

  // Every address of a host name is checked at each connection, because DNS answers can change.
  readonly #lookup: LookupFunction = (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      if (error !== null) return callback(error, '')
      const reachable = addresses.filter(({ address }) => mayReach(this.#url, address, this.#allowedCidrs))
      const [first] = reachable
      if (first === undefined) return callback(Object.assign(new Error('The host name has addresses that webhooks must not be sent to.'), { code: addressForbidden }), '')
      if (options.all === true) return callback(null, reachable)
      callback(null, first.address, first.family)
    })
  }
}

const addressForbidden = 'ADDRESS_NOT_ALLOWED'

// Only whole seconds: few servers send a date, and there is a back-off anyway.
function delayOf (retryAfter: string | undefined): number | undefined {
  return retryAfter !== undefined && /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) * 1000 : undefined
}
