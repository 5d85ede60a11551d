import type { Clock } from './clock.ts'
import type { KeyEvent } from './events.ts'
import { failureOf, type Logger } from './logger.ts'

/** The first event of a key that a receiver has not confirmed, taken by this process for a while. */
export interface Delivery {
  /** The SHA-256 of the receiver's URL, in hexadecimal. */
  readonly receiver: string
  readonly place: number
  /** How often it has been taken, including this time. Tells the process that took it last from earlier ones. */
  readonly attempts: number
  readonly event: KeyEvent
  /** Whether the event is so old that the number of further attempts is limited. */
  readonly isOld: boolean
}

export interface QueuedWork {
  /** Receivers with deliveries that are due. */
  readonly due: readonly string[]
  /** Age of the oldest event that a receiver has not confirmed; 0: there is none. */
  readonly oldestMs: number
  /** Whether there are more events to queue. */
  readonly hasMore: boolean
}

/** Deliveries in Postgres. Each call settles in bounded time, and several processes may make any of them at once. */
export interface WebhookStore {
  /** Registers the receivers, new ones from now on, and queues the new events for each. */
  queue (receivers: readonly string[]): Promise<QueuedWork>
  /** Takes some deliveries that are due; no other process takes them for `leaseMs`. */
  claim (wanted: { readonly receiver: string, readonly rowsMax: number, readonly leaseMs: number }): Promise<readonly Delivery[]>
  /** Ends a delivery: the next event of the key becomes due. Does nothing if another process has taken it meanwhile. */
  finish (delivery: Delivery): Promise<void>
  /** Makes a delivery due again in `delayMs`. Does nothing if another process has taken it meanwhile. */
  postpone (delivery: Delivery, delayMs: number): Promise<void>
}

export type SendOutcome = { readonly isConfirmed: true } | { readonly isConfirmed: false, readonly failure: string, readonly retryAfterMs?: number | undefined }

/** A receiver of events. */
export interface Receiver {
  readonly id: string
  /** Its name in logs: never the whole URL, which may contain a secret. */
  readonly name: string
  /** Never rejects. */
  send (event: KeyEvent, signal: AbortSignal): Promise<SendOutcome>
}

export interface WebhookStats {
  readonly delivered: number
  readonly failed: number
  readonly givenUp: number
  /** Age of the oldest event that a receiver has not confirmed, in seconds. */
  readonly oldestS: number
}

interface WebhooksOptions {
  readonly store: WebhookStore
  readonly receivers: readonly Receiver[]
  readonly clock: Clock
  readonly log: Logger
  /** Whether the database has answered for the first time. */
  isStarted (): boolean
  /** Milliseconds between two checks for new events, plus or minus half. 2000. */
  readonly everyMs?: number
  /** How long `close` waits for current deliveries, in milliseconds. 2000. */
  readonly closeMs?: number
}

/** Maximum number of concurrent deliveries to one receiver, in one process. */
const atOnceMax = 16
/** Time limit of one delivery. `Receiver.send` ends within it. */
export const sendMs = 15_000
// How long a killed process blocks what it took. Twice the time limit of a delivery, so that another process never takes a delivery that is still being sent.
const leaseMs = 30_000
const firstDelayMs = 5000
const longestDelayMs = 3_600_000
/** Days, and attempts, after which an event is given up. */
export const triedDays = 3
const attemptsMin = 10

/**
 * Sends events to receivers, in order for each key. Postgres holds what is due and when. A process takes a delivery for half a minute, sends it and records the
 * result. If it is killed meanwhile, or cannot record the result, another process sends it again: a receiver may get an event twice, but never an older event after a newer one
 * that it has confirmed. Every replica does this.
 */
export class Webhooks {
  readonly #options: WebhooksOptions
  readonly #everyMs: number
  readonly #lanes: ReadonlyMap<string, Lane>
  readonly #stopping = new AbortController()
  readonly #counts = { delivered: 0, failed: 0, givenUp: 0 }
  #oldestMs = 0
  #timer: NodeJS.Timeout | undefined
  #round: Promise<void> | undefined
  #isFailing = false

  constructor (options: WebhooksOptions) {
    this.#options = options
    this.#everyMs = options.everyMs ?? 2000
    this.#lanes = new Map(options.receivers.map((receiver) => [receiver.id, new Lane({ ...options, receiver, counts: this.#counts, signal: this.#stopping.signal })]))
  }

  start (): void {
    this.#later()
  }

  /** Takes nothing more and waits a little for current deliveries. Another process sends again what is not confirmed by then. */
  async close (): Promise<void> {
    clearTimeout(this.#timer)
    for (const lane of this.#lanes.values()) lane.close()
    const idle = Promise.all([...this.#lanes.values()].map((lane) => lane.idle()))
    const timer = setTimeout(() => { this.#stopping.abort() }, this.#options.closeMs ?? 2000)
    await Promise.all([idle, this.#round])
    clearTimeout(timer)
    this.#stopping.abort()
  }

  stats (): WebhookStats {
    return { ...this.#counts, oldestS: this.#oldestMs / 1000 }
  }

  #later (delayMs = this.#everyMs * (0.5 + Math.random())): void {
    this.#timer = setTimeout(() => {
      this.#round = this.#look().then((hasMore) => {
        this.#round = undefined
        if (!this.#stopping.signal.aborted) this.#later(hasMore ? 50 : undefined)
      })
    }, delayMs).unref()
  }

  async #look (): Promise<boolean> {
    const { store, log, isStarted } = this.#options
    if (!isStarted()) return false
    try {
      const { due, oldestMs, hasMore } = await store.queue([...this.#lanes.keys()])
      this.#oldestMs = oldestMs
      for (const receiver of due) this.#lanes.get(receiver)?.poke()
      this.#isFailing = false
      return hasMore
    } catch (error) {
      if (!this.#isFailing) log.warn(failureOf(error), 'looking for events to deliver failed and will be tried again')
      this.#isFailing = true
      return false
    }
  }
}

interface LaneOptions extends Pick<WebhooksOptions, 'store' | 'clock' | 'log'> {
  readonly receiver: Receiver
  readonly counts: { delivered: number, failed: number, givenUp: number }
  readonly signal: AbortSignal
}

/** The deliveries of this process to one receiver. A receiver that does not answer does not delay the others. */
class Lane {
  readonly #options: LaneOptions
  readonly #underWay = new Set<Promise<void>>()
  #claiming: Promise<void> | undefined
  #again = false
  #isOn = true
  #isFailing = false

  constructor (options: LaneOptions) {
    this.#options = options
  }

  /** Looks for deliveries to take. */
  poke (): void {
    this.#again = true
    this.#claiming ??= this.#claim().finally(() => { this.#claiming = undefined })
  }

  close (): void {
    this.#isOn = false
  }

  /** Resolves when no delivery is being sent. None begins after `close`. */
  async idle (): Promise<void> {
    await this.#claiming
    await Promise.all(this.#underWay)
  }

  async #claim (): Promise<void> {
    const { store, receiver, clock, log } = this.#options
    while (this.#again && this.#isOn && this.#underWay.size < atOnceMax) {
      this.#again = false
      const askedAt = clock.monotonicMs()
      let deliveries: readonly Delivery[] = []
      try {
        deliveries = await store.claim({ receiver: receiver.id, rowsMax: atOnceMax - this.#underWay.size, leaseMs })
      } catch (error) {
        log.debug(failureOf(error), 'claiming deliveries failed and will be tried again')
      }
      for (const delivery of deliveries) {
        const work: Promise<void> = this.#deliver(delivery, askedAt).finally(() => {
          this.#underWay.delete(work)
          this.poke()
        })
        this.#underWay.add(work)
      }
    }
  }

  async #deliver (delivery: Delivery, askedAt: number): Promise<void> {
    const { clock, receiver, signal, log } = this.#options
    // This process was stopped for a while: another one may have taken the delivery.
    if (!this.#isOn || clock.monotonicMs() - askedAt > leaseMs - sendMs) return
    const outcome = await receiver.send(delivery.event, signal)
    try {
      await this.#settle(delivery, outcome)
    } catch (error) {
      log.debug(failureOf(error), 'recording the outcome of a delivery failed: the event will be sent again')
    }
  }

  async #settle (delivery: Delivery, outcome: SendOutcome): Promise<void> {
    const { store, receiver: { name: receiver }, counts, log } = this.#options
    const { attempts, event: { id: eventId } } = delivery
    if (outcome.isConfirmed) {
      counts.delivered++
      if (this.#isFailing) log.info({ receiver }, 'the webhook receiver confirms events again')
      this.#isFailing = false
      return await store.finish(delivery)
    }
    const { failure } = outcome
    counts.failed++
    if (delivery.isOld && attempts >= attemptsMin) {
      counts.givenUp++
      log.error({ receiver, failure, eventId, attempts }, `an event will not be delivered any more: its receiver has not confirmed it for ${triedDays} days`)
      return await store.finish(delivery)
    }
    if (!this.#isFailing) log.warn({ receiver, failure, eventId, attempts }, 'a webhook receiver did not confirm an event; it will be sent again')
    this.#isFailing = true
    await store.postpone(delivery, delayAfter(attempts, outcome.retryAfterMs))
  }
}

function delayAfter (attempts: number, retryAfterMs = 0): number {
  const delayMs = Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(attempts - 1, 20)) * (0.8 + 0.4 * Math.random())
  return Math.max(delayMs, Math.min(longestDelayMs, retryAfterMs))
}
