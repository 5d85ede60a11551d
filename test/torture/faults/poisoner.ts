import { Redis } from 'ioredis'
import { randomBytes } from 'node:crypto'
import type { Random } from '../random.ts'

const prefix = 'navis-keys:'
const ttlMs = 60_000

/** Writes into Redis what an attacker, an old backup or a bug might have left there. Remembers each value as it was first seen. */
export class Poisoner {
  readonly #redis: Redis
  readonly #subscriber: Redis
  readonly #random: Random
  readonly #first = new Map<string, Buffer>()
  readonly #heard: Array<{ channel: string, message: Buffer }> = []
  poisoned = 0

  static async start ({ url, random }: { url: string, random: Random }): Promise<Poisoner> {
    const poisoner = new Poisoner(new Redis(url), new Redis(url), random)
    await poisoner.#listen()
    await poisoner.#remember()
    return poisoner
  }

  private constructor (redis: Redis, subscriber: Redis, random: Random) {
    this.#redis = redis
    this.#subscriber = subscriber
    this.#random = random
    for (const client of [redis, subscriber]) client.on('error', () => {})
  }

  /** One pass over everything that the service keeps there, and some hints. */
  async poison (): Promise<void> {
    await this.#remember()
    const names = [...this.#first.keys()]
    const batch = this.#redis.pipeline()
    for (const name of names) {
      const value = this.#valueFor(name, names)
      if (value === undefined) batch.del(name).rpush(name, 'not a string').pexpire(name, ttlMs)
      else batch.set(name, value, 'PX', ttlMs)
      this.poisoned++
    }
    this.#hints(batch)
    await batch.exec()
  }

  /** Every row as it was when it was first seen: those of revoked keys say that they live. */
  async putBackAll (): Promise<void> {
    const batch = this.#redis.pipeline()
    for (const [name, value] of this.#first) batch.set(name, value, 'PX', ttlMs)
    await batch.exec()
  }

  close (): void {
    this.#redis.disconnect()
    this.#subscriber.disconnect()
  }

  /** Undefined: not even a string. */
  #valueFor (name: string, names: readonly string[]): Buffer | string | undefined {
    const own = this.#first.get(name) ?? Buffer.alloc(0)
    const other = this.#first.get(this.#random.pick(names)) ?? own
    switch (this.#random.below(8)) {
      case 0: return other
      case 1: return altered(own, this.#random)
      case 2: return rejuvenated(own)
      case 3: return this.#random.pick([randomBytes(200), '', 'null', '{}', '[]', '{"record":null}', 'x'.repeat(100_000)])
      case 4: return undefined
      default: return own
    }
  }

  #hints (batch: ReturnType<Redis['pipeline']>): void {
    const heard = this.#heard.length > 0 ? this.#random.pick(this.#heard) : undefined
    if (heard === undefined) return
    batch.publish(heard.channel, heard.message)
    batch.publish(heard.channel, heard.message)
    batch.publish(heard.channel, altered(heard.message, this.#random))
    batch.publish(heard.channel, this.#random.pick(['', 'null', '{}', 'x'.repeat(10_000), '{"seq":9007199254740991}']))
  }

  async #listen (): Promise<void> {
    this.#subscriber.on('pmessageBuffer', (_pattern: unknown, channel: Buffer, message: Buffer) => {
      this.#heard.push({ channel: channel.toString(), message })
      if (this.#heard.length > 500) this.#heard.shift()
    })
    await this.#subscriber.psubscribe(`${prefix}*`)
  }

  async #remember (): Promise<void> {
    const names = await this.#redis.keys(`${prefix}*`)
    const unseen = names.filter((name) => !this.#first.has(name))
    if (unseen.length === 0) return
    const values = await this.#redis.mgetBuffer(...unseen)
    unseen.forEach((name, i) => {
      const value = values[i]
      if (value != null) this.#first.set(name, value)
    })
  }
}

/** One bit turned over. */
function altered (value: Buffer, random: Random): Buffer {
  if (value.length === 0) return value
  const copy = Buffer.from(value)
  const at = random.below(copy.length)
  copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8))
  return copy
}

/** Reads well, claims to be newer than any revocation and never to expire; its HMAC is no longer right. */
function rejuvenated (value: Buffer): string {
  const text = value.toString()
  const start = text.indexOf('[')
  if (start < 0) return text
  const row = JSON.parse(text.slice(start)) as unknown[]
  return text.slice(0, start) + JSON.stringify([Number.MAX_SAFE_INTEGER, ...row.slice(1, -2), null, null])
}
