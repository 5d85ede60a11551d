import type { Readable } from 'node:stream'

/** Resolves when so many bytes may be handed on. */
export type MayPass = (bytes: number) => Promise<void>

const partBytesMax = 64 * 1024

/**
 * Reads a stream in pieces as large as have come, each when it may pass: an answer in very many small pieces, or many answers at once,
 * share the event loop with everything else.
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

/** A large piece, in parts that each may pass. */
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
