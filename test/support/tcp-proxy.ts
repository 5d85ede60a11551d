import { connect, createServer, type Server, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'

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

  /** New connections lead to another port; those that there are stay as they are. */
  lead (to: number): void {
    this.#to = to
  }

  /** Nothing passes any more, in either direction, and nobody is told: connections stay open, new ones are accepted and lead nowhere. */
  cut (): void {
    this.#cut = true
  }

  /** As `cut`, for good, for the connections that there are: what a firewall does that has forgotten them. */
  lose (): void {
    for (const lane of this.#lanes) lane.lose()
  }

  /** Every connection is reset, and so is each new one, until `heal`. */
  drop (): void {
    this.#dropped = true
    for (const lane of this.#lanes) lane.reset()
  }

  /** Passes on what was held back, late, as TCP does after a partition, and takes connections again. */
  heal (): void {
    this.#cut = false
    this.#dropped = false
    for (const lane of this.#lanes) lane.pump()
  }

  /** Holds back what is sent from now on for so long, in each direction. */
  delay ({ toClientMs = 0, toServerMs = 0 }: Delay): void {
    this.#delay = { toClientMs, toServerMs }
  }

  async close (): Promise<void> {
    this.drop()
    await new Promise<void>((resolve) => { this.#server.close(() => { resolve() }) })
  }

  #connect (client: Socket): void {
    if (this.#dropped) {
      client.resetAndDestroy()
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
    from.on('error', () => { later(() => { to.resetAndDestroy() }) })
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
    this.#from.resetAndDestroy()
    this.#to.destroy()
  }
}
