import { connect } from 'node:net'
import { requireProgram } from './programs.ts'
import { freePort, ServerProcess } from './server-process.ts'

export interface RedisOptions {
  /** Further arguments of `redis-server`, such as `['--save', '1 1']`. */
  readonly args?: readonly string[]
}

/** A real Redis with its own folder and port. It stores nothing on disk unless its arguments say so. */
export class RedisServer {
  readonly port: number
  readonly #process: ServerProcess
  readonly #args: readonly string[]

  private constructor (port: number, process: ServerProcess, args: readonly string[]) {
    this.port = port
    this.#process = process
    this.#args = args
  }

  static async start ({ args = [] }: RedisOptions = {}): Promise<RedisServer> {
    const process = new ServerProcess({ name: 'redis' })
    const server = new RedisServer(await freePort(args.includes('--cluster-enabled') ? { busOffset: 10_000 } : {}), process, args)
    try {
      await server.start()
    } catch (error) {
      await process.remove()
      throw error
    }
    return server
  }

  get url (): string {
    return `redis://127.0.0.1:${this.port}/0`
  }

  get pid (): number {
    return this.#process.pid
  }

  /** The path of its dump, `dump.rdb`. */
  get dir (): string {
    return this.#process.dir
  }

  /** Starts it again on the same port and folder, after `stop` or `kill`. */
  async start (): Promise<void> {
    await this.#process.start({
      command: requireProgram('redis-server'),
      args: ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.dir, '--save', '', '--databases', '4096', ...this.#args],
      ready: async () => (await answerTo(this.port, 'PING\r\n')).startsWith('+PONG')
    })
  }

  async stop (): Promise<void> { await this.#process.stop() }
  async kill (): Promise<void> { await this.#process.kill() }
  pause (): void { this.#process.pause() }
  resume (): void { this.#process.resume() }
  async remove (): Promise<void> { await this.#process.remove() }
}

async function answerTo (port: number, text: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => { socket.write(text) })
    socket.setTimeout(1000, () => { socket.destroy(new Error('no answer')) })
    socket.once('error', reject)
    socket.once('data', (answer) => {
      socket.destroy()
      resolve(answer.toString())
    })
  })
}
