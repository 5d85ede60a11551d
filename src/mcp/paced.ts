import type { Readable } from 'node:stream'

/** Resolves when so many bytes may be passed on. */
export type MayPass = (bytes: number) => Promise<void>

const partBytesMax = 64 * 1024

/**
 * Reads a stream. Everything that has arrived is one piece, and each piece waits until it may be passed on, so that an answer in very many
 * small pieces, or many answers at the same time, do not block the event loop.
 */
export async function * paced (stream: Readable, mayPass: MayPass): AsyncGenerator<Buffer> {
  for (;;) {
    const piece = stream.read() as Buffer | null
    if (piece !== null) {
      yield * inParts(piece, mayPass)
    } else if (stream.readableEnded) {
      return
    } else if (stream.destroyed) {
      throw stream.errored ?? new Error('The stream was closed before its end.')
    } else {
      await changed(stream)
    }
  }
}

/** Splits a large piece into parts; each part waits until it may be passed on. */
export async function * inParts (piece: Buffer, mayPass: MayPass): AsyncGenerator<Buffer> {
  for (let from = 0; from < piece.length; from += partBytesMax) {
    const part = piece.subarray(from, from + partBytesMax)
    await mayPass(part.length)
    yield part
  }
}

const changes = ['readable', 'end', 'close', 'error'] as const

async function changed (stream: Readable): Promise<void> {
  await new Promise<void>((resolve) => {
    const onChange = () => {
      for (const name of changes) stream.off(name, onChange)
      resolve()
    }
    for (const name of changes) stream.on(name, onChange)
  })
}
