import { Redis } from 'ioredis'
import postgres from 'postgres'
import type { Child } from '../support/child.ts'
import { freePort } from '../support/server-process.ts'
import type { Teardowns } from '../support/servers.ts'
import { until } from '../support/until.ts'
import { ask, ready, secret, startMain, type Asked } from '../process/service.ts'

export const secondSecret = 'process-tests-second-administrator-0123456789'

interface ReplicaOptions {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly windowMs: number
  readonly environment?: Readonly<Record<string, string>>
}

export interface MadeKey {
  readonly id: string
  readonly token: string
}

/** What a caller and an administrator can ask of a replica, whether it is a process or runs in that of the test. */
export interface Replica {
  /** What it says of a token: 200, 401, or 503 while it does not know. */
  status (token: string): Promise<number>
  create (): Promise<MadeKey>
  createMany (count: number): Promise<MadeKey[]>
  revoke (id: string): Promise<void>
  /** Ends it in order. */
  stop (): Promise<void>
}

/** One process of the built service, and what an administrator and a caller can ask of it. */
export class RunningReplica implements Replica {
  readonly child: Child
  readonly port: number

  constructor (child: Child, port: number) {
    this.child = child
    this.port = port
  }

  async status (token: string): Promise<number> {
    return (await ask(`${this.#url}/forward-auth`, { headers: { authorization: `Bearer ${token}` } })).status
  }

  /** Tries again after a 503: on a busy machine Postgres may take longer than a request may wait. */
  async create (): Promise<MadeKey> {
    let made: Asked | undefined
    await until(async () => {
      made = await ask(this.#keys, { method: 'POST', body: '{"name":"n","scope":"mcp:read"}' })
      return made.status !== 503
    })
    if (made?.status !== 201) throw new Error(`create: ${made?.status} ${made?.body}`)
    return JSON.parse(made.body) as MadeKey
  }

  async createMany (count: number): Promise<MadeKey[]> {
    return await Promise.all(Array.from({ length: count }, async () => await this.create()))
  }

  async shown (id: string): Promise<Record<string, unknown>> {
    return JSON.parse((await ask(`${this.#keys}/${id}`)).body) as Record<string, unknown>
  }

  async revoke (id: string): Promise<void> {
    const { status, body } = await ask(`${this.#keys}/${id}`, { method: 'DELETE' })
    if (status !== 204) throw new Error(`revoke: ${status} ${body}`)
  }

  async rotate (id: string): Promise<Asked> {
    return await ask(`${this.#keys}/${id}/rotate`, { method: 'POST', body: '{}' })
  }

  async edit (id: string, changes: object, { bearer = secret } = {}): Promise<Asked> {
    return await ask(`${this.#keys}/${id}`, { method: 'PATCH', body: JSON.stringify(changes), headers: { authorization: `Bearer ${bearer}` } })
  }

  /** Asks for an edit and hangs up after a while without having been answered. */
  async editGivenUp (id: string, changes: object, afterMs: number): Promise<'given up' | number> {
    try {
      const { status } = await fetch(`${this.#keys}/${id}`, {
        method: 'PATCH',
        body: JSON.stringify(changes),
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
        signal: AbortSignal.timeout(afterMs)
      })
      return status
    } catch {
      return 'given up'
    }
  }

  /** Whether it knows of which history the database is: only then are revocations held under a lineage of its own. As of a scrape, which may be a second old. */
  async hasLineage (): Promise<boolean> {
    return /^navis_keys_window_has_lineage 1$/m.test(await (await fetch(`${this.#url}/metrics`)).text())
  }

  freeze (): void { this.child.process.kill('SIGSTOP') }
  thaw (): void { this.child.process.kill('SIGCONT') }

  /** As an orchestrator ends it. */
  async stop (): Promise<void> {
    await this.child.kill('SIGTERM')
  }

  get #url (): string {
    return `http://127.0.0.1:${this.port}`
  }

  get #keys (): string {
    return `${this.#url}/v1/workspaces/w/keys`
  }
}

/** Resolves when its window is open. */
export async function startReplica (t: Teardowns, { databaseUrl, redisUrl, windowMs, environment = {} }: ReplicaOptions): Promise<RunningReplica> {
  const port = await freePort()
  const child = startMain(t, {
    env: {
      PORT: String(port),
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl,
      TRUST_WINDOW_MS: String(windowMs),
      MANAGEMENT_TOKENS: `tests=${secret},second=${secondSecret}`,
      LOG_LEVEL: 'warn',
      ...environment
    }
  })
  await ready(port)
  return new RunningReplica(child, port)
}

/** Until each replica accepts each of the keys: then it has them in memory. */
export async function warm (replicas: readonly Replica[], keys: readonly MadeKey[]): Promise<void> {
  for (const replica of replicas) {
    await Promise.all(keys.map(async ({ token }) => { await until(async () => await replica.status(token) === 200) }))
  }
}

/** Statements of an administrator, each in a transaction of its own. */
export async function administer (url: string, ...statements: readonly string[]): Promise<Array<Record<string, unknown>>> {
  const sql = postgres(url, { max: 1, onnotice: () => {}, prepare: false, fetch_types: false })
  try {
    let rows: Array<Record<string, unknown>> = []
    for (const statement of statements) rows = await sql.unsafe(statement)
    return rows.map((row) => ({ ...row }))
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** The rows that are in Redis, to be put back later as they were. */
export class RedisCopy {
  readonly #values: ReadonlyMap<string, Buffer>

  private constructor (values: ReadonlyMap<string, Buffer>) {
    this.#values = values
  }

  static async of (url: string): Promise<RedisCopy> {
    return await onRedis(url, async (redis) => {
      const values = new Map<string, Buffer>()
      for (const name of await redis.keys('*')) {
        const value = await redis.dumpBuffer(name)
        if (value !== null) values.set(name, value)
      }
      return new RedisCopy(values)
    })
  }

  /** What stands before the last colon of each name. */
  get prefixes (): Set<string> {
    return new Set([...this.#values.keys()].map((name) => name.split(':').slice(0, 2).join(':')))
  }

  get size (): number {
    return this.#values.size
  }

  async putBack (url: string): Promise<void> {
    await onRedis(url, async (redis) => {
      for (const [name, value] of this.#values) await redis.restore(name, 60_000, value, 'REPLACE')
    })
  }
}

async function onRedis<T> (url: string, act: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url)
  try {
    return await act(redis)
  } finally {
    redis.disconnect()
  }
}
