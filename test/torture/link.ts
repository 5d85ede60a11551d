import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { reset } from '../support/reset.ts'

export interface Delay {
  readonly toClientMs?: number
  readonly toServerMs?: number
}

/**
 * The TCP link of one replica to one store. Runs in a process of its own (`links-process.ts`), so that neither
 * the recorder's work nor its garbage delays what passes.
 */
export class Link {
  #to: number
  readonly #server: Server
  readonly #passages = new Set<Passage>()
  #state: 'open' | 'held' | 'refusing' = 'open'
  #delay = { toClientMs: 0, toServerMs: 0 }

  constructor (to: number) {
    this.#to = to
    this.#server = createServer({ allowHalfOpen: true }, (client) => { this.#pass(client) })
  }

  async listen (): Promise<number> {
    await new Promise<void>((resolve) => { this.#server.listen(0, '127.0.0.1', resolve) })
    return (this.#server.address() as AddressInfo).port
  }

  /** Nothing passes and nobody is told; what is sent meanwhile arrives after `heal`, as TCP delivers it after a partition. */
  hold (): void {
    this.#state = 'held'
    for (const passage of this.#passages) passage.hold()
  }

  /** The same for the connections only that have subscribed to something; how many there were. */
  holdSubscribers (): number {
    const subscribers = [...this.#passages].filter((passage) => passage.subscribed)
    for (const passage of subscribers) passage.hold()
    return subscribers.length
  }

  /** Every connection is reset, and so is each new one, until `heal`. */
  refuse (): void {
    this.#state = 'refusing'
    this.reset()
  }

  /** Every connection is reset; new ones are welcome. */
  reset (): void {
    for (const passage of this.#passages) passage.reset()
  }

  /** What is sent from now on takes so long; what is on its way keeps its time, also when its sender has gone. */
  delay ({ toClientMs = 0, toServerMs = 0 }: Delay): void {
    this.#delay = { toClientMs, toServerMs }
  }

  /** New connections lead to another port from now on; those that there are stay where they are. */
  leadTo (port: number): void {
    this.#to = port
  }

  heal (): void {
    this.#state = 'open'
    this.#delay = { toClientMs: 0, toServerMs: 0 }
    for (const passage of this.#passages) passage.release()
  }

  #pass (client: Socket): void {
    if (this.#state === 'refusing') {
      reset(client)
      return
    }
    const server = connect({ port: this.#to, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    client.setNoDelay(true)
    const passage = new Passage({ client, server, delay: () => this.#delay })
    if (this.#state === 'held') passage.hold()
    this.#passages.add(passage)
    const forget = () => { if (client.destroyed && server.destroyed) this.#passages.delete(passage) }
    client.once('close', forget)
    server.once('close', forget)
  }
}

interface PassageOptions {
  readonly client: Socket
  readonly server: Socket
  delay (): { toClientMs: number, toServerMs: number }
}

/** One connection through the link. */
class Passage {
  subscribed = false
  #held = false
  readonly #sockets: readonly Socket[]
  readonly #lanes: readonly Lane[]

  constructor ({ client, server, delay }: PassageOptions) {
    this.#sockets = [client, server]
    client.on('data', (chunk: Buffer) => { if (!this.subscribed && /\r\nsubscribe\r\n/i.test(chunk.toString('latin1'))) this.subscribed = true })
    const held = () => this.#held
    this.#lanes = [
      new Lane({ from: client, to: server, held, delayMs: () => delay().toServerMs }),
      new Lane({ from: server, to: client, held, delayMs: () => delay().toClientMs })
    ]
  }

  hold (): void {
    this.#held = true
  }

  release (): void {
    this.#held = false
    for (const lane of this.#lanes) lane.pump()
  }

  reset (): void {
    for (const lane of this.#lanes) lane.forget()
    for (const socket of this.#sockets) reset(socket)
  }
}

interface LaneOptions {
  readonly from: Socket
  readonly to: Socket
  held (): boolean
  delayMs (): number
}

/** One direction of one connection, in order. */
class Lane {
  readonly #held: () => boolean
  #waiting: Array<{ due: number, pass: () => void }> = []
  #timer: NodeJS.Timeout | undefined

  constructor ({ from, to, held, delayMs }: LaneOptions) {
    this.#held = held
    const later = (pass: () => void) => {
      this.#waiting.push({ due: performance.now() + delayMs(), pass })
      this.pump()
    }
    from.on('data', (chunk) => { later(() => { to.write(chunk) }) })
    from.on('end', () => { later(() => { to.end() }) })
    from.on('error', () => { later(() => { reset(to) }) })
    from.on('close', () => { later(() => { to.destroySoon() }) })
  }

  pump (): void {
    clearTimeout(this.#timer)
    for (let first = this.#waiting[0]; first !== undefined && !this.#held(); first = this.#waiting[0]) {
      const waitMs = first.due - performance.now()
      if (waitMs > 0) {
        this.#timer = setTimeout(() => { this.pump() }, waitMs)
        return
      }
      this.#waiting.shift()
      first.pass()
    }
  }

  forget (): void {
    clearTimeout(this.#timer)
    this.#waiting = []
  }
}
