import { connect, createServer, type Server, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { reset } from './reset.ts'

export interface Delay {
  readonly toClientMs?: number
  readonly toServerMs?: number
}

/** A TCP link that can be cut, dropped and delayed. */
export class TcpProxy {
  readonly #server: Server
  #to: number
  readonly #lanes = new Set<Lane>()
  #cut = false
  #dropped = false
  #delay = { toClientMs: 0, toServerMs: 0 }

  constructor (to: number) {
    this.#to = to
    this.#server = createServer({ allowHalfOpen: true }, (client) => { this.#connect(client) })
  }

  async listen (): Promise<void> {
    await new Promise<void>((resolve) => { this.#server.listen(0, '127.0.0.1', resolve) })
  }

  get port (): number {
    return (this.#server.address() as AddressInfo).port
  }

  get connections (): number {
    return this.#lanes.size / 2
  }

  /** New connections go to another port; existing ones do not change. */
  lead (to: number): void {
    this.#to = to
  }

  /** Forwards nothing in either direction and reports nothing: connections stay open, and new ones are accepted. */
  cut (): void {
    this.#cut = true
  }

  /** Like `cut`, but permanent, for the existing connections: as by a firewall that has lost its state. */
  lose (): void {
    for (const lane of this.#lanes) lane.lose()
  }

  /** Resets every connection, and every new one, until `heal`. */
  drop (): void {
    this.#dropped = true
    for (const lane of this.#lanes) lane.reset()
  }

  /** Forwards what was held back, as TCP does after a partition, and accepts connections again. */
  heal (): void {
    this.#cut = false
    this.#dropped = false
    for (const lane of this.#lanes) lane.pump()
  }

  /** Delays data from now on, by a time of its own in each direction. */
  delay ({ toClientMs = 0, toServerMs = 0 }: Delay): void {
    this.#delay = { toClientMs, toServerMs }
  }

  async close (): Promise<void> {
    this.drop()
    await new Promise<void>((resolve) => { this.#server.close(() => { resolve() }) })
  }

  #connect (client: Socket): void {
    if (this.#dropped) {
      reset(client)
      return
    }
    const server = connect({ port: this.#to, host: '127.0.0.1', allowHalfOpen: true })
    client.setNoDelay(true)
    server.setNoDelay(true)
    const held = () => this.#cut
    const lanes = [
      new Lane({ from: client, to: server, held, delayMs: () => this.#delay.toServerMs }),
      new Lane({ from: server, to: client, held, delayMs: () => this.#delay.toClientMs })
    ]
    for (const lane of lanes) this.#lanes.add(lane)
    let open = 2
    const closed = () => {
      if (--open > 0) return
      for (const lane of lanes) this.#lanes.delete(lane)
    }
    client.once('close', closed)
    server.once('close', closed)
  }
}

interface LaneOptions {
  readonly from: Socket
  readonly to: Socket
  held (): boolean
  delayMs (): number
}

/** One direction of one connection. */
class Lane {
  readonly #from: Socket
  readonly #to: Socket
  readonly #held: () => boolean
  readonly #waiting: Array<{ due: number, pass: () => void }> = []
  #timer: NodeJS.Timeout | undefined
  #isLost = false

  constructor ({ from, to, held, delayMs }: LaneOptions) {
    this.#from = from
    this.#to = to
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
    while (!this.#held() && !this.#isLost) {
      const first = this.#waiting[0]
      if (first === undefined) return
      const waitMs = first.due - performance.now()
      if (waitMs > 0) {
        this.#timer = setTimeout(() => { this.pump() }, waitMs)
        return
      }
      this.#waiting.shift()
      first.pass()
    }
  }

  lose (): void {
    this.#isLost = true
  }

  reset (): void {
    clearTimeout(this.#timer)
    this.#waiting.length = 0
    reset(this.#from)
    this.#to.destroy()
  }
}
