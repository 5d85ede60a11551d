import { connect, type Socket } from 'node:net'
import { behindLast, lost } from './recorder.ts'

export interface Answer {
  readonly status: number
  readonly head: string
  readonly body: string
  readonly sentAt: number
  readonly answeredAt: number
  readonly warm: boolean
}

/** Without an answer `status` is `lost` or `behindLast`, and the texts are empty. */
export type OnAnswer = (answer: Answer) => void

interface Request {
  readonly text: string
  readonly onAnswer: OnAnswer
}

interface Sent {
  readonly sentAt: number
  readonly warm: boolean
  readonly onAnswer: OnAnswer
}

const headEnd = Buffer.from('\r\n\r\n')

/**
 * One kept-alive HTTP/1.1 connection on a bare socket: no agent, no pool and no queue between the moment that is
 * noted and the bytes. Requests may be sent before earlier ones are answered; a frozen server finds them queued.
 */
export class Connection {
  readonly #socket: Socket
  readonly #waiting: Sent[] = []
  #buffer: Buffer = Buffer.alloc(0)
  #answers = 0
  #open = true
  #hasToldItsEnd = false

  /** Resolves once connected. */
  static async open (port: number, { timeoutMs = 1000 } = {}): Promise<Connection> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await new Promise<void>((resolve, reject) => {
      socket.setTimeout(timeoutMs, () => { socket.destroy(new Error(`No connection to port ${port} within ${timeoutMs} ms.`)) })
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    socket.setTimeout(0)
    return new Connection(socket)
  }

  private constructor (socket: Socket) {
    this.#socket = socket
    socket.removeAllListeners('error')
    socket.on('error', () => { /* told by 'close' */ })
    socket.on('data', (chunk: Buffer) => { this.#read(chunk) })
    socket.on('end', () => { this.close() })
    socket.on('close', () => { this.#lose() })
  }

  get isOpen (): boolean {
    return this.#open
  }

  /** Whether an answer has come over it. */
  get isWarm (): boolean {
    return this.#answers > 0
  }

  /** Requests that wait for their answers. */
  get depth (): number {
    return this.#waiting.length
  }

  get oldestSentAt (): number {
    return this.#waiting[0]?.sentAt ?? Infinity
  }

  send (text: string, onAnswer: OnAnswer): void {
    this.sendTogether([{ text, onAnswer }])
  }

  /** In one piece, each before the ones before it are answered. */
  sendTogether (requests: readonly Request[]): void {
    const sentAt = performance.now()
    for (const { onAnswer } of requests) this.#waiting.push({ sentAt, warm: this.isWarm, onAnswer })
    if (this.#open) this.#socket.write(requests.map(({ text }) => text).join(''), 'latin1')
    else this.#lose()
  }

  close (): void {
    this.#open = false
    this.#socket.destroy()
  }

  #read (chunk: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk])
    let length = this.#readAnswer()
    while (length > 0) {
      this.#buffer = this.#buffer.subarray(length)
      length = this.#readAnswer()
    }
  }

  /** Bytes of the answer that stands whole at the front of the buffer; 0 when there is none yet. */
  #readAnswer (): number {
    const end = this.#buffer.indexOf(headEnd)
    if (end < 0) return 0
    const head = this.#buffer.toString('latin1', 0, end)
    const body = bodyIn(head, this.#buffer, end + headEnd.length)
    if (body === undefined) return 0
    const request = this.#waiting.shift()
    if (request === undefined) {
      this.close()
      return 0
    }
    this.#answers++
    if (/\r\nconnection: close/i.test(head)) {
      this.#open = false
      this.#hasToldItsEnd = true
    }
    const { sentAt, warm, onAnswer } = request
    onAnswer({ status: Number(head.slice(9, 12)), head, body: body.text, sentAt, answeredAt: performance.now(), warm })
    return body.end
  }

  #lose (): void {
    this.#open = false
    const answeredAt = performance.now()
    for (const { sentAt, warm, onAnswer } of this.#waiting.splice(0)) onAnswer({ status: this.#hasToldItsEnd ? behindLast : lost, head: '', body: '', sentAt, answeredAt, warm })
  }
}

function bodyIn (head: string, buffer: Buffer, start: number): { text: string, end: number } | undefined {
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  if (length !== undefined) {
    const end = start + Number(length)
    return buffer.length < end ? undefined : { text: buffer.toString('utf8', start, end), end }
  }
  return /\r\ntransfer-encoding: *chunked/i.test(head) ? chunksIn(buffer, start) : { text: '', end: start }
}

function chunksIn (buffer: Buffer, start: number): { text: string, end: number } | undefined {
  let text = ''
  let at = start
  for (;;) {
    const line = buffer.indexOf('\r\n', at, 'latin1')
    if (line < 0) return undefined
    const length = parseInt(buffer.toString('latin1', at, line), 16)
    const end = line + 2 + length + 2
    if (Number.isNaN(length) || buffer.length < end) return undefined
    if (length === 0) return { text, end }
    text += buffer.toString('utf8', line + 2, end - 2)
    at = end
  }
}
