import type { Readable } from 'node:stream'
import type { Clock } from '../core/clock.ts'
import { ByteBudget, type Release } from './byte-budget.ts'
import { bodyInCrumbs, bodyTooLarge } from './gateway-refusals.ts'
import { Bytes } from './protocol/bytes.ts'
import { StrictJsonReader, type ReaderOptions } from './protocol/strict-json.ts'
import { TimeSlices, type Sliced } from './time-slices.ts'

interface BodiesOptions {
  /** The largest body, in bytes. */
  readonly bytesMax: number
  readonly clock: Clock
}

export interface Body {
  readonly bytes: Buffer
  /** Returns the bytes of the body to the key's share. */
  readonly release: Release
}

/** The longest list of tools that is filtered, in bytes: as much as four messages of the default size. */
export const listBytesMax = 4 * 1024 * 1024

const smallBytesMax = 64 * 1024
const sharesInAll = 8
const largeBodiesPerKey = 4
// Each HTTP chunk costs a microsecond, however small it is, and Node handles all chunks of one read in the same turn of the event loop.
const crumbsMax = 1000
const crumbBytes = 16

/**
 * Holds and reads bodies, so that no caller can fill the memory or block the event loop. One key may hold four bodies of the largest size,
 * all keys together eight times that. Bodies of up to 64 KiB have a budget of the same size for themselves, so that large bodies never delay
 * them. While a body is read it is in memory twice (as received, and as serialized for the upstream), with the names of its members in at
 * most 2 MiB. A list of tools that is filtered counts as a large body of its key.
 */
export class Bodies {
  readonly #bytesMax: number
  readonly #small: ByteBudget
  readonly #large: ByteBudget
  readonly #slices: TimeSlices

  constructor ({ bytesMax, clock }: BodiesOptions) {
    const perKeyMax = largeBodiesPerKey * Math.max(bytesMax, smallBytesMax)
    this.#bytesMax = bytesMax
    const largePerKeyMax = Math.max(perKeyMax, listBytesMax)
    this.#small = new ByteBudget({ perKeyMax, inAllMax: sharesInAll * perKeyMax })
    this.#large = new ByteBudget({ perKeyMax: largePerKeyMax, inAllMax: sharesInAll * largePerKeyMax })
    this.#slices = new TimeSlices(clock)
  }

  /** The bytes that are in memory now. */
  get held (): number {
    return this.#small.heldInAll + this.#large.heldInAll
  }

  /** Resolves when `bytes` of the key's share are free and taken. */
  async hold (keyId: string, bytes: number, signal: AbortSignal): Promise<Release> {
    return await (bytes <= smallBytesMax ? this.#small : this.#large).take(keyId, bytes, signal)
  }

  /** Reads a body from the network. Without a `length` it is counted as one of the largest size. */
  async receive (keyId: string, stream: Readable, length: number | undefined, signal: AbortSignal): Promise<Body> {
    if (length !== undefined && length > this.#bytesMax) throw bodyTooLarge()
    const release = await this.hold(keyId, length ?? this.#bytesMax, signal)
    try {
      return { bytes: await collect(stream, { length, bytesMax: this.#bytesMax }), release }
    } catch (error) {
      release()
      throw error
    }
  }

  /** Reads strict JSON; see `StrictJsonReader`. */
  async parse (keyId: string, bytes: Buffer, options: ReaderOptions): Promise<StrictJsonReader> {
    const reader = new StrictJsonReader(bytes, options)
    await this.#slices.run(keyId, reader, bytes.length)
    return reader
  }

  /** Does other work for a key, in that key's share of the event loop. */
  async work (keyId: string, work: Sliced, bytes: number): Promise<void> {
    await this.#slices.run(keyId, work, bytes)
  }

  /** Resolves when a piece of an answer may be passed on. */
  async pass (keyId: string, bytes: number): Promise<void> {
    await this.#slices.pass(keyId, bytes)
  }
}

interface Expected {
  readonly length: number | undefined
  readonly bytesMax: number
}

// Node ends a body at its announced length, so that only a body without one can exceed the limit.
async function collect (stream: Readable, { length, bytesMax }: Expected): Promise<Buffer> {
  return await new Promise<Buffer>((resolve, reject) => {
    const body = new Bytes(length)
    let pieces = 0
    const refuse = (refusal: Error) => {
      stream.pause()
      stream.removeAllListeners('data')
      reject(refusal)
    }
    stream.on('data', (piece: Buffer) => {
      pieces++
      if (body.length + piece.length > bytesMax) refuse(bodyTooLarge())
      else if (pieces > crumbsMax && body.length < pieces * crumbBytes) refuse(bodyInCrumbs())
      else body.append(piece)
    })
    stream.once('end', () => { resolve(body.take()) })
    stream.once('error', reject)
    stream.once('close', () => { reject(new Error('The client closed the connection before its body had arrived.')) })
  })
}
