import { setTimeout as sleep } from 'node:timers/promises'
import { Connection, type Answer } from './connection.ts'
import type { TrackedKey } from './ledger.ts'
import type { Recorder } from './recorder.ts'

interface ReplicaClientOptions {
  readonly port: number
  /** The replica's place: 1, 2, 3. */
  readonly place: number
  /** The number of this very process. */
  readonly process: number
  readonly recorder: Recorder
  readonly managementToken: string
  /** 16 */
  readonly connections?: number
}

interface Call {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  readonly path: string
  readonly body?: Readonly<Record<string, unknown>>
  readonly timeoutMs: number
}

const reconnectMs = 100
const verificationTimeoutMs = 45_000
/** As many times a connection goes on with one token, as that of a client does. */
const repeatsMax = 40

/** What the harness asks of one process of the service, over connections that were warmed beforehand. */
export class ReplicaClient {
  readonly place: number
  readonly process: number
  readonly port: number
  readonly #recorder: Recorder
  readonly #managementToken: string
  readonly #lines: Array<Connection | undefined>
  readonly #idle: Connection[] = []
  readonly #habits = new WeakMap<Connection, { readonly key: TrackedKey, left: number }>()
  #closed = false
  #turn = 0

  constructor ({ port, place, process, recorder, managementToken, connections = 16 }: ReplicaClientOptions) {
    this.port = port
    this.place = place
    this.process = process
    this.#recorder = recorder
    this.#managementToken = managementToken
    this.#lines = new Array<Connection | undefined>(connections).fill(undefined)
    for (let line = 0; line < connections; line++) this.#keepOpen(line)
  }

  get isClosed (): boolean {
    return this.#closed
  }

  get warmConnections (): number {
    return this.#lines.filter((line) => line?.isOpen === true && line.isWarm).length
  }

  /** False when every connection already carries `depthMax` unanswered requests. */
  verify (key: TrackedKey, depthMax = 1, onAnswer?: (answer: Answer) => void): boolean {
    const connection = this.#connectionBelow(depthMax)
    if (connection === undefined) return false
    connection.sendTogether([this.#request(key, onAnswer)])
    return true
  }

  /**
   * The same for clients among others, of one or of several keys at once: every second connection goes on with the token that it sent before,
   * whatever has become of its key.
   */
  verifyOrRepeat (keys: readonly TrackedKey[], depthMax: number): boolean {
    const connection = this.#connectionBelow(depthMax)
    if (connection === undefined) return false
    const isOfHabit = this.#turn % 2 === 1
    connection.sendTogether(keys.map((key) => this.#request(isOfHabit ? this.#habitual(connection, key) : key)))
    return true
  }

  #habitual (connection: Connection, key: TrackedKey): TrackedKey {
    const habit = this.#habits.get(connection)
    if (habit !== undefined && habit.left > 0 && !habit.key.isForgotten) {
      habit.left--
      this.#recorder.repeated++
      return habit.key
    }
    this.#habits.set(connection, { key, left: repeatsMax })
    return key
  }

  #request (key: TrackedKey, onAnswered?: (answer: Answer) => void): { text: string, onAnswer: (answer: Answer) => void } {
    return {
      text: `GET /forward-auth HTTP/1.1\r\nHost: navis\r\nAuthorization: Bearer ${key.token}\r\n\r\n`,
      onAnswer: (answer) => {
        const { sentAt, answeredAt, status, warm } = answer
        const said = status === 503 ? detailIn(answer.body) : undefined
        this.#recorder.add({ process: this.process, key: key.index, sentAt, answeredAt, status, warm, said })
        onAnswered?.(answer)
      }
    }
  }

  /** A management call, on a connection that serves nothing else meanwhile; status 0 when it was lost or took too long. */
  async call ({ method, path, body, timeoutMs }: Call): Promise<Answer> {
    const connection = this.#takeIdle() ?? await Connection.open(this.port).catch(() => undefined)
    const sentAt = performance.now()
    if (connection === undefined) return { status: 0, head: '', body: '', sentAt, answeredAt: sentAt, warm: false }
    const answer = await new Promise<Answer>((resolve) => {
      const timer = setTimeout(() => { connection.close() }, timeoutMs)
      connection.send(this.#callText(method, path, body), (answer) => {
        clearTimeout(timer)
        resolve(answer)
      })
    })
    if (connection.isOpen && !this.#closed) this.#idle.push(connection)
    else connection.close()
    return answer
  }

  close (): void {
    this.#closed = true
    for (const connection of [...this.#lines, ...this.#idle]) connection?.close()
  }

  #takeIdle (): Connection | undefined {
    let connection = this.#idle.pop()
    while (connection?.isOpen === false) connection = this.#idle.pop()
    return connection
  }

  #callText (method: string, path: string, body: Call['body']): string {
    const json = body === undefined ? undefined : JSON.stringify(body)
    return `${method} ${path} HTTP/1.1\r\nHost: navis\r\nAuthorization: Bearer ${this.#managementToken}\r\n` +
      (json === undefined ? '\r\n' : `Content-Type: application/json\r\nContent-Length: ${json.length}\r\n\r\n${json}`)
  }

  #connectionBelow (depthMax: number): Connection | undefined {
    const count = this.#lines.length
    for (let step = 0; step < count; step++) {
      this.#turn = (this.#turn + 1) % count
      const connection = this.#lines[this.#turn]
      if (connection?.isOpen === true && connection.depth < depthMax) return connection
    }
    return undefined
  }

  async #keepOpen (line: number): Promise<void> {
    while (!this.#closed) {
      const connection = this.#lines[line]
      if (connection !== undefined && performance.now() - connection.oldestSentAt > verificationTimeoutMs) connection.close()
      if (connection?.isOpen !== true) {
        const opened = await Connection.open(this.port).catch(() => undefined)
        if (this.#closed) opened?.close()
        else this.#lines[line] = opened
      }
      await sleep(reconnectMs, undefined, { ref: false })
    }
  }
}

/** What a problem document says; without one, the beginning of the text. */
function detailIn (body: string): string {
  try {
    return String((JSON.parse(body) as { detail?: unknown }).detail)
  } catch {
    return body.slice(0, 100)
  }
}
