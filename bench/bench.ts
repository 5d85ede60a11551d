import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { migrate } from '../src/db/migrate.ts'
import postgres from 'postgres'
import { PostgresServer } from '../test/support/postgres.ts'
import { RedisServer } from '../test/support/redis.ts'
import type { Teardowns } from '../test/support/servers.ts'
import { otherCore } from './support/program.ts'

export interface BenchOptions {
  /** How often all processes of a scenario are started anew: two processes of the same code can differ by a tenth. */
  readonly generations: number
  readonly rounds: number
  /** Of one measurement of one contender. */
  readonly seconds: number
  /** Divides numbers of keys, for a look at whether everything runs. 1. */
  readonly shrink: number
  /** For each contender in each generation. On a slow machine the compiler needs seconds to settle. */
  readonly warmUpSeconds: number
}

/** What every scenario stands on: Postgres and Redis of the run's own, away from the core that is measured. */
export class Bench implements Teardowns {
  readonly options: BenchOptions
  readonly dir: string
  readonly postgres: PostgresServer
  readonly redis: RedisServer
  readonly tell: (line: string) => void
  #endings: Array<() => unknown> = []
  #databases = 0

  private constructor (options: BenchOptions, tell: (line: string) => void, postgres: PostgresServer, redis: RedisServer) {
    this.options = options
    this.tell = tell
    this.postgres = postgres
    this.redis = redis
    this.dir = mkdtempSync(join(tmpdir(), 'navis-bench-'))
    this.teardown(() => { rmSync(this.dir, { recursive: true, force: true }) })
  }

  static async start (options: BenchOptions, tell: (line: string) => void): Promise<Bench> {
    pin(process.pid)
    // As a server of its own would be set up, but for its memory: durable, and nothing else switched off.
    const postgres = await PostgresServer.start({ settings: { shared_buffers: '512MB', max_wal_size: '4GB' } })
    const redis = await RedisServer.start()
    pin(postgres.pid)
    pin(redis.pid)
    const bench = new Bench(options, tell, postgres, redis)
    bench.#endings.unshift(() => postgres.remove(), () => redis.remove())
    return bench
  }

  teardown (end: () => unknown): void {
    this.#endings.push(end)
  }

  count (keys: number): number {
    return Math.max(1, Math.round(keys / this.options.shrink))
  }

  /** The URL of a new database with the tables of the service. */
  async database (): Promise<string> {
    const url = await this.emptyDatabase()
    await migrate(url)
    return url
  }

  async emptyDatabase (): Promise<string> {
    const name = `bench_${++this.#databases}`
    const sql = postgres(this.postgres.url, { max: 1, onnotice: () => {} })
    await sql.unsafe(`create database ${name}`)
    await sql.end()
    return this.postgres.urlOf(name)
  }

  /** The URL of the run's Redis; every caller has a number of its own. */
  redisUrl (number: number): string {
    return this.redis.url.replace(/\/0$/, `/${number}`)
  }

  /** A Postgres beside that of the run, for a scenario that needs other settings: the settings of one slow down, or limit, all others. */
  async postgresWith (t: Teardowns, settings: Readonly<Record<string, string>>): Promise<PostgresServer> {
    const server = await PostgresServer.start({ settings: { shared_buffers: '256MB', max_wal_size: '4GB', ...settings } })
    t.teardown(() => server.remove())
    pin(server.pid)
    return server
  }

  /** Runs `act` with teardowns of its own, which have all run when this settles. */
  async scope<T> (act: (t: Teardowns) => Promise<T>): Promise<T> {
    const endings: Array<() => unknown> = []
    try {
      return await act({ teardown: (end) => { endings.push(end) } })
    } finally {
      for (const end of endings.reverse()) await end()
    }
  }

  async end (): Promise<void> {
    for (const end of this.#endings.splice(0).reverse()) await end()
  }
}

function pin (pid: number): void {
  execFileSync('taskset', ['-acp', String(otherCore), String(pid)], { stdio: 'ignore' })
}
