import type { Redis } from 'ioredis'
import type { Acknowledgement, AnnouncementListener, Announcements, Credentials } from '../core/window/announcements.ts'
import { silentLogger, type Logger } from '../core/logger.ts'
import { systemScheduler, type Scheduler } from '../core/window/scheduler.ts'
import type { Announcement } from '../core/window/step.ts'
import { messageBytesMax, openAcknowledgement, openMessage, sealAcknowledgement, sealAnnouncement } from './announcement-message.ts'
import { LineageKey } from './lineage-key.ts'
import { rowName } from './redis-row.ts'
import { parseRate, rateChannel } from './shared-rates.ts'
import type { RedisSource } from './redis-source.ts'

interface RedisAnnouncementsOptions {
  /** Only duplicated, never used itself. */
  readonly redis: Pick<RedisSource, 'duplicate'>
  readonly scheduler?: Scheduler | undefined
  /** How often the subscriber is asked whether it is still there, in milliseconds. 1000. */
  readonly pingEveryMs?: number | undefined
  /** Another replica has told how full the shared bucket of a key's rate limit is. */
  readonly onRate?: (keyId: string, backlogMs: number) => void
  readonly log?: Logger | undefined
}

export interface AnnouncementCounts {
  readonly published: number
  /** Published in vain: Redis did not take it. */
  readonly lost: number
  readonly heard: number
  readonly acknowledgementsSent: number
  readonly acknowledgementsHeard: number
  /** Messages that were not written with the key, or are too long to be read; dropped. */
  readonly forged: number
  /** Dropped without being checked, because too many forged ones came before them in the same second. */
  readonly unchecked: number
  /** Times that the subscriber has subscribed, the first included. */
  readonly subscribed: number
}

// A subscriber whose line is cut without a word sees no close and no error. With a ping on its way, silence for this
// long destroys the connection, and another one is made.
const silenceMaxMs = 2000

// Publishing needs no key, and checking a message costs an HMAC: about 20 ms of each second at most go into forged ones.
const forgedPerSecondMax = 5000
const secondMs = 1000
// The warning is repeated when it happens again after this long.
const quietSecondsMin = 60

/** What is listened to and signed with, as long as credentials stay as they are. */
interface Opened {
  readonly credentials: Credentials
  readonly listener: AnnouncementListener
  readonly key: LineageKey
  readonly changes: string
  readonly acknowledgements: string
}

/** Announcements and acknowledgements by Redis publish and subscribe. Whatever happens to it, renewals bring the same news a period later. */
export class RedisAnnouncements implements Announcements {
  readonly #publisher: Redis
  readonly #subscriber: Redis
  readonly #options: RedisAnnouncementsOptions
  readonly #counts = { published: 0, lost: 0, heard: 0, acknowledgementsSent: 0, acknowledgementsHeard: 0, forged: 0, unchecked: 0, subscribed: 0 }
  #opened: Opened | undefined
  #subscribed: readonly string[] = []
  readonly #forgeries: Forgeries
  #cancelPing = () => {}
  #isClosed = false

  constructor (options: RedisAnnouncementsOptions) {
    this.#options = options
    const { redis, scheduler = systemScheduler, log = silentLogger } = options
    this.#forgeries = new Forgeries(scheduler, log)
    // Nothing is queued or resent: a late announcement has no value.
    this.#publisher = redis.duplicate({
      lazyConnect: false, enableOfflineQueue: false, maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false, autoResubscribe: false, keyPrefix: '', commandTimeout: 250, connectTimeout: 2000, socketTimeout: silenceMaxMs, retryStrategy
    })
    this.#subscriber = redis.duplicate({
      lazyConnect: false, enableOfflineQueue: false, maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false, autoResubscribe: false, keyPrefix: '', connectTimeout: 2000, socketTimeout: silenceMaxMs, retryStrategy
    })
    this.#publisher.on('error', () => {})
    this.#subscriber.on('error', () => {})
    this.#subscriber.on('ready', () => {
      this.#subscribed = []
      this.#subscribe()
    })
    this.#subscriber.on('message', (channel, message) => { this.#hear(channel, message) })
    this.#pingLater()
  }

  open (credentials: Credentials, listener: AnnouncementListener): void {
    const key = new LineageKey(credentials.rowSecret, credentials.lineage)
    this.#opened = {
      credentials,
      listener,
      key,
      changes: `${key.prefix}:changes`,
      acknowledgements: acknowledgementChannel(key, credentials.id)
    }
    this.#subscribe()
  }

  announce (announcement: Announcement): void {
    if (this.#opened === undefined || this.#isClosed) return
    const { credentials: { isOurs }, key, changes } = this.#opened
    const { target } = announcement.change
    // Rows of another lineage belong to another database.
    if (target.kind === 'key' && isOurs) {
      for (const digest of target.digests) this.#publisher.unlink(rowName(digest, key)).catch(() => {})
    }
    this.#counts.published++
    this.#publisher.publish(changes, sealAnnouncement(announcement, key.bytes)).catch(() => { this.#counts.lost++ })
  }

  async acknowledge (to: string, acknowledgement: Acknowledgement): Promise<boolean> {
    if (this.#opened === undefined || this.#isClosed) return false
    const { key } = this.#opened
    try {
      // No subscriber on that channel: the maker of the change has another lineage, or none, so our renewal must acknowledge.
      const listeners = await this.#publisher.publish(acknowledgementChannel(key, to), sealAcknowledgement(acknowledgement, key.bytes))
      this.#counts.acknowledgementsSent++
      return listeners > 0
    } catch {
      this.#counts.lost++
      return false
    }
  }

  counts (): AnnouncementCounts {
    return { ...this.#counts }
  }

  async close (): Promise<void> {
    this.#isClosed = true
    this.#cancelPing()
    this.#forgeries.close()
    this.#publisher.disconnect()
    this.#subscriber.disconnect()
  }

  #subscribe (): void {
    if (this.#opened === undefined || this.#subscriber.status !== 'ready') return
    const wanted = [this.#opened.changes, this.#opened.acknowledgements, rateChannel(this.#opened.key.prefix)]
    const added = wanted.filter((channel) => !this.#subscribed.includes(channel))
    const dropped = this.#subscribed.filter((channel) => !wanted.includes(channel))
    this.#subscribed = wanted
    if (dropped.length > 0) this.#subscriber.unsubscribe(...dropped).catch(() => {})
    if (added.length > 0) this.#subscriber.subscribe(...added).then(() => { this.#counts.subscribed++ }, () => { this.#subscribed = [] })
  }

  #hear (channel: string, message: string): void {
    if (this.#opened === undefined || this.#isClosed) return
    const { credentials: { isOurs, id }, listener, key, changes, acknowledgements } = this.#opened
    if (channel === rateChannel(key.prefix)) {
      const heard = parseRate(message)
      if (heard === undefined) this.#dropForged()
      else this.#options.onRate?.(heard.keyId, heard.backlogMs)
    } else if (message.length > messageBytesMax) {
      this.#dropForged()
    } else if (this.#forgeries.areTooMany) {
      // It may be genuine: the next renewal tells what it said.
      this.#counts.unchecked++
    } else if (channel === acknowledgements) {
      const acknowledgement = openAcknowledgement(message, key.bytes)
      if (acknowledgement === undefined) return this.#dropForged()
      this.#counts.acknowledgementsHeard++
      listener.acknowledged(acknowledgement)
    } else if (channel === changes) {
      // Without a lineage no message is trusted, and any message causes a renewal (R9).
      const heard = isOurs ? openMessage(message, key.bytes) : 'call'
      if (heard === undefined) return this.#dropForged()
      if (heard === 'call' || heard.from !== id) this.#counts.heard++
      if (heard === 'call') listener.called()
      else if (heard.from !== id) listener.announced(heard)
    }
  }

  #dropForged (): void {
    this.#counts.forged++
    this.#forgeries.note()
  }

  #pingLater (): void {
    const { scheduler = systemScheduler, pingEveryMs = 1000 } = this.#options
    this.#cancelPing = scheduler.after(pingEveryMs, () => {
      this.#subscriber.ping().catch(() => {})
      if (!this.#isClosed) this.#pingLater()
    })
  }
}

/** Tells of forged messages once, and says when so many came within a second that no more are checked. */
class Forgeries {
  readonly #scheduler: Scheduler
  readonly #log: Logger
  #inSecond = 0
  #quietSeconds = 0
  #cancel: (() => void) | undefined

  constructor (scheduler: Scheduler, log: Logger) {
    this.#scheduler = scheduler
    this.#log = log
  }

  get areTooMany (): boolean {
    return this.#inSecond >= forgedPerSecondMax
  }

  note (): void {
    this.#inSecond++
    if (this.#cancel !== undefined) return
    this.#log.warn({}, 'Redis delivers announcements that no replica of this database has sent, and they are dropped. Give each installation its own Redis, or users with the rights that docs/container.md lists')
    this.#nextSecond()
  }

  close (): void {
    this.#cancel?.()
  }

  #nextSecond (): void {
    this.#cancel = this.#scheduler.after(secondMs, () => {
      this.#quietSeconds = this.#inSecond > 0 ? 0 : this.#quietSeconds + 1
      this.#inSecond = 0
      if (this.#quietSeconds < quietSecondsMin) return this.#nextSecond()
      this.#cancel = undefined
      this.#quietSeconds = 0
      this.#log.info({}, 'Redis has delivered no forged announcements for a minute')
    })
  }
}

function retryStrategy (times: number): number {
  return Math.min(1000, times * 50)
}

function acknowledgementChannel ({ prefix }: LineageKey, id: string): string {
  return `${prefix}:acknowledgements:${id}`
}
