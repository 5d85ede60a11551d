/** The messages of Postgres' wire protocol that matter here, by their first byte (PostgreSQL manual, "Message Formats"). */
export const frameTypes = {
  parse: 0x50,
  query: 0x51,
  sync: 0x53,
  close: 0x43,
  terminate: 0x58,
  readyForQuery: 0x5a
} as const

const protocolVersion = 3
const sslRequest = 80877103
const gssRequest = 80877104
const cancelRequest = 80877102
const frameBytesMax = 64 * 1024 * 1024

/** Cuts what a client sends into messages. The first ones have no type: a request for encryption, then the startup packet. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0)
  #started = false

  /** Throws when this can be no client of Postgres. */
  push (chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    if (this.#length() > frameBytesMax) throw new RangeError('A message of the database protocol is too long.')
  }

  shift (): Buffer | undefined {
    const length = this.#length()
    if (length === 0 || this.#rest.length < length) return undefined
    const frame = this.#rest.subarray(0, length)
    this.#rest = this.#rest.subarray(length)
    if (!this.#started) this.#started = firstFrame(frame) === 'startup'
    return frame
  }

  /** Of the message that comes next, or 0 while that is not known. */
  #length (): number {
    const typeBytes = this.#started ? 1 : 0
    return this.#rest.length < typeBytes + 4 ? 0 : typeBytes + this.#rest.readUInt32BE(typeBytes)
  }
}

/** What an untyped message asks for. A typed one of the same bytes would be longer than any message may be. */
export function firstFrame (frame: Buffer): 'ssl' | 'cancel' | 'startup' | undefined {
  if (frame.length < 8 || frame.readUInt32BE(0) !== frame.length) return undefined
  const code = frame.readUInt32BE(4)
  if (code === sslRequest || code === gssRequest) return 'ssl'
  if (code === cancelRequest) return 'cancel'
  return code >>> 16 === protocolVersion ? 'startup' : undefined
}

/** The transaction status in the last ReadyForQuery of an answer, or `undefined` when there is none. */
export function transactionStatus (answer: Buffer): 'idle' | 'busy' | undefined {
  let status: 'idle' | 'busy' | undefined
  for (let at = 0; at + 5 <= answer.length; at += 1 + answer.readUInt32BE(at + 1)) {
    if (answer[at] === frameTypes.readyForQuery) status = answer[at + 5] === 'I'.charCodeAt(0) ? 'idle' : 'busy'
  }
  return status
}

export function toFrame (type: number, body = ''): Uint8Array {
  const frame = Buffer.alloc(5 + Buffer.byteLength(body))
  frame.writeUInt8(type)
  frame.writeUInt32BE(frame.length - 1, 1)
  frame.write(body, 5)
  return new Uint8Array(frame)
}

/** Of the superuser, in the database that every cluster has. */
export const startupPacket = toStartupPacket('user\0postgres\0database\0postgres\0\0')

function toStartupPacket (parameters: string): Uint8Array {
  const packet = Buffer.alloc(8 + parameters.length)
  packet.writeUInt32BE(packet.length)
  packet.writeUInt32BE(protocolVersion << 16, 4)
  packet.write(parameters, 8)
  return new Uint8Array(packet)
}
