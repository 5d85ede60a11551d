import type { Digest } from '../core/key-record.ts'
import type { Drop } from '../core/window/trust-window.ts'

/** A call in progress, from immediately before it is sent to the upstream until the last byte of its answer. */
export interface OpenCall {
  readonly digest: Digest
  readonly workspaceId: string
  /** Ends it synchronously: no more of its answer is written. */
  cut (): void
  /** Ends it synchronously if its answer has begun; checks its key first if not. */
  interrupt (): void
  /** Checks its key, and cuts it if the key may no longer make this call. */
  recheck (): void
  /** Whether it lasts until the client disconnects. */
  readonly isEndless: boolean
  /** Ends it because the process stops. */
  retire (): void
}

/** All calls in progress, so that a revocation ends those of its key before it is acknowledged (WINDOW R12). */
export class OpenCalls {
  readonly #calls = new Set<OpenCall>()
  readonly #byDigest = new Map<Digest, Set<OpenCall>>()
  readonly #byWorkspace = new Map<string, Set<OpenCall>>()

  get size (): number {
    return this.#calls.size
  }

  /** Returns a function that removes the call. */
  add (call: OpenCall): () => void {
    this.#calls.add(call)
    put(this.#byDigest, call.digest, call)
    put(this.#byWorkspace, call.workspaceId, call)
    return () => {
      this.#calls.delete(call)
      take(this.#byDigest, call.digest, call)
      take(this.#byWorkspace, call.workspaceId, call)
    }
  }

  /** For `TrustWindow.onDrop`. */
  drop ({ target, action }: Drop): void {
    for (const call of this.#touched(target)) {
      if (action === 'revoke') call.cut()
      // All keys of a workspace were revoked. A key that was created since then may be among these calls: its client connects again.
      else if (target.kind === 'workspace') call.interrupt()
      else call.recheck()
    }
  }

  retireEndless (): void {
    for (const call of [...this.#calls]) if (call.isEndless) call.retire()
  }

  retireAll (): void {
    for (const call of [...this.#calls]) call.retire()
  }

  #touched (target: Drop['target']): OpenCall[] {
    switch (target.kind) {
      case 'key': return target.digests.flatMap((digest) => [...this.#byDigest.get(digest) ?? []])
      case 'workspace': return [...this.#byWorkspace.get(target.workspaceId) ?? []]
      case 'everything': return [...this.#calls]
    }
  }
}

function put<Name> (sets: Map<Name, Set<OpenCall>>, name: Name, call: OpenCall): void {
  const set = sets.get(name) ?? new Set()
  set.add(call)
  sets.set(name, set)
}

function take<Name> (sets: Map<Name, Set<OpenCall>>, name: Name, call: OpenCall): void {
  const set = sets.get(name)
  set?.delete(call)
  if (set?.size === 0) sets.delete(name)
}
