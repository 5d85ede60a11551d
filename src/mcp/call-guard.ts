import { Transform, type TransformCallback } from 'node:stream'

/** Whether the key is still allowed to make this call: synchronous when memory can answer. Rejects when it is not known. */
export type StillAllowed = () => boolean | Promise<boolean>

/** The key was revoked or expired in the middle of an answer. */
export class CutOff extends Error {
  override readonly name = 'CutOff'
}

interface CallGuardOptions {
  readonly stillAllowed: StillAllowed
  /** How long the upstream may send nothing, in milliseconds. None: without limit, for event streams. */
  readonly silenceMaxMs: number | undefined
}

/** Passes an answer on, piece by piece, each only after the final check of its key (WINDOW R6, R12). */
export class CallGuard extends Transform {
  readonly #stillAllowed: StillAllowed
  readonly #silence: NodeJS.Timeout | undefined
  bytes = 0

  constructor ({ stillAllowed, silenceMaxMs }: CallGuardOptions) {
    super()
    this.#stillAllowed = stillAllowed
    if (silenceMaxMs !== undefined) {
      this.#silence = setTimeout(() => { this.destroy(new Error('The upstream stopped sending in the middle of an answer.')) }, silenceMaxMs)
    }
  }

  override _transform (chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#silence?.refresh()
    const allowed = this.#stillAllowed()
    if (typeof allowed === 'boolean') {
      this.#pass(allowed, chunk, done)
    } else {
      allowed.then((is) => { this.#pass(is, chunk, done) }, done)
    }
  }

  override _destroy (error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#silence)
    done(error)
  }

  override _flush (done: TransformCallback): void {
    clearTimeout(this.#silence)
    done()
  }

  #pass (allowed: boolean, chunk: Buffer, done: TransformCallback): void {
    // The call was cut during an asynchronous check: drop the pieces that wait.
    if (this.destroyed) return
    this.bytes += chunk.length
    if (allowed) done(null, chunk)
    else done(new CutOff('The key was revoked or has expired.'))
  }
}
