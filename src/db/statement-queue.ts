/** What a statement is for; the first goes before those after it. */
export type Urgency = 'revoke' | 'change' | 'read'

const order: readonly Urgency[] = ['revoke', 'change', 'read']

interface StatementQueueOptions {
  /** Statements at a time: the connections of the pool. */
  readonly concurrency: number
  /** How long one may wait for its turn. 5000 */
  readonly waitMs?: number
  /** Statements that wait at most; beyond, they are refused at once. 1000 */
  readonly lengthMax?: number
}

/** It was not a statement's turn in time, or too many wait. Nothing was sent. */
export class QueueFull extends Error {
  constructor () {
    super('The pool of connections is busy.')
    this.name = 'QueueFull'
  }
}

/**
 * Statements wait here for a connection, and not in the driver: revocations go first, then other changes, then lists, and all but one of the
 * connections at most are taken by lists.
 */
export class StatementQueue {
  readonly #concurrency: number
  readonly #waitMs: number
  readonly #lengthMax: number
  readonly #refusals = new Set<() => void>()
  readonly #waiting = new Map<Urgency, Set<() => void>>(order.map((urgency) => [urgency, new Set()]))
  #running = 0

  constructor ({ concurrency, waitMs = 5000, lengthMax = 1000 }: StatementQueueOptions) {
    this.#concurrency = concurrency
    this.#waitMs = waitMs
    this.#lengthMax = lengthMax
  }

  get length (): number {
    return order.reduce((length, urgency) => length + (this.#waiting.get(urgency)?.size ?? 0), 0)
  }

  /** Resolves at the statement's turn to what ends it, to be called once. Rejects with `QueueFull`. */
  async enter (urgency: Urgency): Promise<() => void> {
    if (!this.#hasRoomFor(urgency) || this.length > 0) await this.#turn(urgency)
    else this.#running++
    return () => {
      this.#running--
      this.#next()
    }
  }

  /** The database does not answer: rejects all statements that wait. */
  refuseWaiting (): void {
    for (const refuse of this.#refusals) refuse()
  }

  #hasRoomFor (urgency: Urgency): boolean {
    const kept = urgency === 'read' && this.#concurrency > 1 ? 1 : 0
    return this.#running < this.#concurrency - kept
  }

  #turn (urgency: Urgency): Promise<void> {
    if (this.length >= this.#lengthMax) return Promise.reject(new QueueFull())
    const waiting = this.#waiting.get(urgency) as Set<() => void>
    return new Promise((resolve, reject) => {
      const begin = () => {
        clearTimeout(timer)
        this.#refusals.delete(refuse)
        resolve()
      }
      const refuse = () => {
        clearTimeout(timer)
        this.#refusals.delete(refuse)
        waiting.delete(begin)
        reject(new QueueFull())
      }
      const timer = setTimeout(refuse, this.#waitMs)
      this.#refusals.add(refuse)
      waiting.add(begin)
      this.#next()
    })
  }

  #next (): void {
    for (const urgency of order) {
      const waiting = this.#waiting.get(urgency) as Set<() => void>
      for (const begin of waiting) {
        if (!this.#hasRoomFor(urgency)) break
        waiting.delete(begin)
        this.#running++
        begin()
      }
    }
  }
}
