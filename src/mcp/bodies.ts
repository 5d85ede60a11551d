import type { Readable } from 'node:stream'
import type { Clock } from '../core/clock.ts'
import { ByteBudget, type Release } from './byte-budget.ts'
import { bodyTooLarge } from './gateway-refusals.ts'
import { StrictJsonReader, type ReaderOptions } from './protocol/strict-json.ts'
import { TimeSlices } from './time-slices.ts'

interface BodiesOptions {
  /** The largest body, in bytes. */
  readonly bytesMax: number
  readonly clock: Clock
}

export interface Body {
  readonly bytes: Buffer
  /** Gives back what the body holds of the key's share. */
  readonly release: Release
}

const smallBytesMax = 64 * 1024
const sharesInAll = 8
const largeBodiesPerKey = 4

/**
 * Holds and reads bodies, so that no caller can fill the memory or hold the event loop. Large bodies: four of the largest for a key,
 * eight times as much in all. Those up to 64 KiB have as much again for themselves, so that large ones are never in their way. A body is
 * held twice while it is read (as it came, and as it goes on); the names of its members that are held occupy at most 2 MiB.
 */
export class Bodies {
  readonly #bytesMax: number
  readonly #small: ByteBudget
  readonly #large: ByteBudget
  readonly #slices: TimeSlices

  constructor ({ bytesMax, clock }: BodiesOptions) {
    const perKeyMax = largeBodiesPerKey * Math.max(bytesMax, smallBytesMax)
    this.#bytesMax = bytesMax
    this.#small = new ByteBudget({ perKeyMax, inAllMax: sharesInAll * perKeyMax })
    this.#large = new ByteBudget({ perKeyMax, inAllMax: sharesInAll * perKeyMax })
    this.#slices = new TimeSlices(clock)
  }

  /** The bytes that are held now. */
  get held (): number {
    return this.#small.heldInAll + this.#large.heldInAll
  }

  /** Holds `bytes` of the key's share, as soon as there is room. */
  async hold (keyId: string, bytes: number, signal: AbortSignal): Promise<Release> {
    return await (bytes <= smallBytesMax ? this.#small : this.#large).take(keyId, bytes, signal)
  }

  /** Reads a body from the network. Without a `length` it takes as much room as the largest. */
  async receive (keyId: string, stream: Readable, length: number | undefined, signal: AbortSignal): Promise<Body> {
    if (length !== undefined && length > this.#bytesMax) throw bodyTooLarge()
    const release = await this.hold(keyId, length ?? this.#bytesMax, signal)
    try {
      return { bytes: await collect(stream, length ?? this.#bytesMax), release }
    } catch (error) {
      release()
      throw error
    }
  }

  /** Reads strict JSON; see `StrictJsonReader`. */
  async parse (keyId: string, bytes: Buffer, options?: ReaderOptions): Promise<StrictJsonReader> {
    const reader = new StrictJsonReader(bytes, options)
    await this.#slices.run(keyId, reader, bytes.length)
    return reader
  }
}

// Node holds back what does not belong to the announced length, so that only a body without one can be longer than it may be.
async function collect (stream: Readable, bytesMax: number): Promise<Buffer> {
  return await new Promise<Buffer>((resolve, reject) => {
    const pieces: Buffer[] = []
    let length = 0
    stream.on('data', (piece: Buffer) => {
      length += piece.length
      if (length > bytesMax) {
        stream.pause()
        reject(bodyTooLarge())
      } else {
        pieces.push(piece)
      }
    })
    stream.once('end', () => { resolve(pieces.length === 1 ? pieces[0] as Buffer : Buffer.concat(pieces, length)) })
    stream.once('error', reject)
    stream.once('close', () => { reject(new Error('The client went away before its body had come.')) })
  })
}
