import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { Digest } from '../core/key-record.ts'
import type { Hint, HintBus } from '../core/window/hint-bus.ts'
import { systemScheduler, type Scheduler } from '../core/window/scheduler.ts'
import { openHint, sealHint } from './hint-message.ts'

interface RedisHintBusOptions {
  /** Only duplicated, never used itself. */
  readonly redis: Redis
  /** The name under which a key's row is cached in Redis; dropped when the key changes. */
  readonly rowName?: ((digest: Digest, rowSecret: Uint8Array) => string) | undefined
  readonly scheduler?: Scheduler | undefined
  /** How often the subscriber is asked whether it is still there, in milliseconds. Default: 1000. */
  readonly pingEveryMs?: number | undefined
}

export interface HintBusCounts {
  readonly published: number
  /** Published in vain: Redis did not take it. */
  readonly lost: number
  readonly heard: number
  /** Messages that nobody with the secret wrote; dropped. */
  readonly forged: number
  /** Times that the subscriber has subscribed, the first included. */
  readonly subscribed: number
}

// A subscriber whose line is cut without a word sees no close and no error. With a ping on its way, silence for this
// long destroys the connection, and another one is made.
const silenceMaxMs = 2000

/** Hints by Redis publish and subscribe. Whatever happens to it, renewals bring the same news a period later. */
export class RedisHintBus implements HintBus {
  readonly #publisher: Redis
  readonly #subscriber: Redis
  readonly #options: RedisHintBusOptions
  readonly #counts = { published: 0, lost: 0, heard: 0, forged: 0, subscribed: 0 }
  #rowSecret: Uint8Array | undefined
  #onHint: (hint: Hint) => void = () => {}
  #cancelPing = () => {}
  #isClosed = false

  constructor (options: RedisHintBusOptions) {
    this.#options = options
    const { redis } = options
    // Nothing is queued and nothing resent: a hint is worth something now or not at all.
    this.#publisher = redis.duplicate({
      lazyConnect: false, enableOfflineQueue: false, maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false, autoResubscribe: false, keyPrefix: '', commandTimeout: 500, connectTimeout: 2000, socketTimeout: silenceMaxMs, retryStrategy
    })
    this.#subscriber = redis.duplicate({
      lazyConnect: false, enableOfflineQueue: false, maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false, autoResubscribe: false, keyPrefix: '', connectTimeout: 2000, socketTimeout: silenceMaxMs, retryStrategy
    })
    this.#publisher.on('error', () => {})
    this.#subscriber.on('error', () => {})
    this.#subscriber.on('ready', () => { this.#subscribe() })
    this.#subscriber.on('message', (channel, message) => { this.#hear(channel, message) })
    this.#pingLater()
  }

  open (rowSecret: Uint8Array, onHint: (hint: Hint) => void): void {
    const isOther = this.#rowSecret === undefined || Buffer.compare(this.#rowSecret, rowSecret) !== 0
    this.#rowSecret = rowSecret
    this.#onHint = onHint
    if (isOther) this.#subscribe()
  }

  publish (hint: Hint): void {
    if (this.#rowSecret === undefined || this.#isClosed) return
    const { target } = hint.change
    const { rowName } = this.#options
    if (target.kind === 'key' && rowName !== undefined) {
      this.#publisher.unlink(rowName(target.digest, this.#rowSecret)).catch(() => {})
    }
    this.#counts.published++
    this.#publisher.publish(channelOf(this.#rowSecret), sealHint(hint, this.#rowSecret)).catch(() => { this.#counts.lost++ })
  }

  counts (): HintBusCounts {
    return { ...this.#counts }
  }

  async close (): Promise<void> {
    this.#isClosed = true
    this.#cancelPing()
    this.#publisher.disconnect()
    this.#subscriber.disconnect()
  }

  #subscribe (): void {
    if (this.#rowSecret === undefined || this.#subscriber.status !== 'ready') return
    this.#subscriber.subscribe(channelOf(this.#rowSecret)).then(() => { this.#counts.subscribed++ }, () => {})
  }

  #hear (channel: string, message: string): void {
    if (this.#rowSecret === undefined || channel !== channelOf(this.#rowSecret)) return
    const hint = openHint(message, this.#rowSecret)
    if (hint === undefined) {
      this.#counts.forged++
      return
    }
    this.#counts.heard++
    this.#onHint(hint)
  }

  #pingLater (): void {
    const { scheduler = systemScheduler, pingEveryMs = 1000 } = this.#options
    this.#cancelPing = scheduler.after(pingEveryMs, () => {
      this.#subscriber.ping().catch(() => {})
      if (!this.#isClosed) this.#pingLater()
    })
  }
}

function retryStrategy (times: number): number {
  return Math.min(1000, times * 50)
}

/** Databases that share a Redis never hear each other. */
function channelOf (rowSecret: Uint8Array): string {
  return `navis-keys:${createHash('sha256').update(rowSecret).digest('hex').slice(0, 8)}:hints`
}
