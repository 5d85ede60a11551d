import { createServer, type Server, type Socket } from 'node:net'
import type { PGlite } from '@electric-sql/pglite'
import { FrameReader, firstFrame, frameTypes, startupPacket, toFrame, transactionStatus } from './wire-frames.ts'

interface WireServerOptions {
  /** How long a connection may keep the session between two messages before it is ended: a stopped client must not stop all others. */
  readonly holdMs?: number
}

/**
 * Speaks Postgres' wire protocol on a unix socket in front of one PGlite session. A connection has the session to
 * itself from its first message until the server is ready for its next query outside of a transaction: neither
 * transactions nor the unnamed statements and portals of several connections can mix.
 */
export class WireServer {
  readonly #server: Server
  readonly #served: Promise<Served>
  readonly #holdMs: number
  readonly #connections = new Set<WireConnection>()
  readonly #waiting: Array<() => void> = []
  #serve: (served: Served) => void = () => {}
  #serving = false
  #taken = false

  constructor ({ holdMs = 5000 }: WireServerOptions = {}) {
    this.#served = new Promise((resolve) => { this.#serve = resolve })
    this.#holdMs = holdMs
    this.#server = createServer((socket) => { this.#accept(socket) })
  }

  async listen (path: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(path, resolve)
    })
  }

  /** The one session that all connections share. Those that came before wait for it. */
  async serve (session: PGlite): Promise<void> {
    const greeting = Buffer.from(await session.execProtocolRaw(startupPacket, { syncToFs: false }))
    this.#serving = true
    this.#serve({ session, greeting })
  }

  /** Ends all connections, rolling back what they had not committed. */
  async close (): Promise<void> {
    if (!this.#server.listening) return
    const closed = new Promise<void>((resolve) => { this.#server.close(() => { resolve() }) })
    await Promise.all([...this.#connections].map(async (connection) => {
      if (this.#serving) await connection.end()
      else connection.drop()
    }))
    await closed
  }

  #accept (socket: Socket): void {
    const connection = new WireConnection(socket, {
      holdMs: this.#holdMs,
      served: this.#served,
      take: async () => { await this.#take() },
      giveBack: () => { this.#giveBack() }
    })
    this.#connections.add(connection)
    socket.once('close', async () => {
      await connection.end()
      this.#connections.delete(connection)
    })
  }

  async #take (): Promise<void> {
    if (this.#taken) await new Promise<void>((resolve) => { this.#waiting.push(resolve) })
    this.#taken = true
  }

  #giveBack (): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#taken = false
    else next()
  }
}

interface Served {
  readonly session: PGlite
  /** What the session answered to the one startup packet that it gets: all connections are the same user in the same database. */
  readonly greeting: Buffer
}

interface Shared {
  readonly holdMs: number
  readonly served: Promise<Served>
  take (): Promise<void>
  giveBack (): void
}

class WireConnection {
  readonly #socket: Socket
  readonly #shared: Shared
  readonly #frames = new FrameReader()
  readonly #statements = new Set<string>()
  #work: Promise<void> = Promise.resolve()
  #holding = false
  #ended = false
  #holdTimer: NodeJS.Timeout | undefined

  constructor (socket: Socket, shared: Shared) {
    this.#socket = socket
    this.#shared = shared
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      try {
        this.#frames.push(chunk)
      } catch {
        socket.destroy()
        return
      }
      this.#then(async () => { await this.#answerAll() })
    })
  }

  /** Leaves nothing of this connection in the session: no transaction, no half-sent pipeline, no prepared statement. */
  async end (): Promise<void> {
    if (this.#ended) return await this.#work
    this.#ended = true
    this.#then(async () => {
      clearTimeout(this.#holdTimer)
      if (this.#statements.size > 0 && !this.#holding) await this.#hold()
      if (this.#holding) await this.#cleanUp()
    })
    await this.#work
    this.#socket.destroy()
  }

  /** Ends it where there has been no session in which it could have left anything. */
  drop (): void {
    this.#ended = true
    this.#socket.destroy()
  }

  #then (act: () => Promise<void>): void {
    this.#work = this.#work.then(act).catch(() => { this.#socket.destroy() })
  }

  async #answerAll (): Promise<void> {
    clearTimeout(this.#holdTimer)
    for (let frame = this.#frames.shift(); frame !== undefined && !this.#ended; frame = this.#frames.shift()) {
      if (await this.#answer(frame)) return
    }
    if (this.#holding) this.#holdTimer = setTimeout(() => { this.#socket.destroy() }, this.#shared.holdMs).unref()
  }

  /** Resolves to whether that was the connection's last message. */
  async #answer (frame: Buffer): Promise<boolean> {
    const special = firstFrame(frame)
    if (special === 'ssl') {
      this.#socket.write('N')
      return false
    }
    if (special === 'cancel' || frame[0] === frameTypes.terminate) {
      this.#socket.end()
      return true
    }
    if (special === 'startup') {
      const { greeting } = await this.#shared.served
      this.#socket.write(greeting)
      return false
    }
    if (!this.#holding) await this.#hold()
    this.#noteStatement(frame)
    await this.#send(frame)
    return false
  }

  async #hold (): Promise<void> {
    await this.#shared.take()
    this.#holding = true
  }

  async #send (frame: Buffer): Promise<void> {
    const { session } = await this.#shared.served
    const answer = Buffer.from(await session.execProtocolRaw(new Uint8Array(frame), { syncToFs: false }))
    if (answer.length > 0 && this.#socket.writable) this.#socket.write(answer)
    if (transactionStatus(answer) === 'idle') this.#release()
  }

  #release (): void {
    if (!this.#holding) return
    this.#holding = false
    this.#shared.giveBack()
  }

  #noteStatement (frame: Buffer): void {
    if (frame[0] !== frameTypes.parse) return
    const name = frame.toString('utf8', 5, frame.indexOf(0, 5))
    if (name !== '') this.#statements.add(name)
  }

  // Sync first: after an error, everything before it is skipped.
  async #cleanUp (): Promise<void> {
    const { session } = await this.#shared.served
    const send = async (type: number, body?: string) => await session.execProtocolRaw(toFrame(type, body), { syncToFs: false })
    try {
      await send(frameTypes.sync)
      await send(frameTypes.query, 'rollback\0')
      for (const name of this.#statements) await send(frameTypes.close, `S${name}\0`)
      await send(frameTypes.sync)
    } finally {
      this.#release()
    }
  }
}
