import type { LoggedChange } from './trust.ts'

/** A committed change and the timeline on which it was committed. */
export interface Hint {
  readonly change: LoggedChange
  readonly timeline: string | undefined
}

/** Carries hints between replicas, or does not: nothing but speed rests on it. No call throws, none waits. */
export interface HintBus {
  /** Starts listening, with the key of the HMAC; called again when the key may be another one. */
  open (rowSecret: Uint8Array, onHint: (hint: Hint) => void): void
  /** Tells the other replicas, and drops the key's row from the shared cache. */
  publish (hint: Hint): void
  close (): Promise<void>
}

/** For a replica without a shared cache. */
export const noBus: HintBus = {
  open () {},
  publish () {},
  async close () {}
}
