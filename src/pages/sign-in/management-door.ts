import { hash, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../../core/clock.ts'
import { MissBudget } from '../../core/miss-budget.ts'
import type { Person } from '../../core/person.ts'

interface ManagementDoorOptions {
  readonly tokens: ReadonlyArray<{ readonly name: string, readonly secret: string }>
  readonly clock: Clock
}

interface Holder {
  readonly name: string
  readonly digest: Buffer
}

interface Attempt {
  readonly token: string
  readonly workspaceId: string
  /** Address of the client: the budget of wrong tokens is counted per address. */
  readonly address: string
}

export type Attempted =
  | { readonly admitted: true, readonly person: Person, readonly credential: Buffer }
  | { readonly admitted: false, readonly retryAfterS: number | undefined }

const wrongPerMinute = 10

/** Signs in the holder of a management token, as an admin of any workspace, without an owner id. */
export class ManagementDoor {
  readonly #tokens: readonly Holder[]
  readonly #budget: MissBudget

  constructor ({ tokens, clock }: ManagementDoorOptions) {
    this.#tokens = tokens.map(({ name, secret }) => ({ name, digest: digestOf(secret) }))
    this.#budget = new MissBudget({ clock, perMinute: wrongPerMinute })
  }

  attempt ({ token, workspaceId, address }: Attempt): Attempted {
    const holder = this.#holder(token)
    if (holder === undefined) {
      // Limit only wrong tokens: other clients of the same address must not lock out the right token, which cannot be guessed.
      const waitMs = this.#budget.take({ ip: address })
      return { admitted: false, retryAfterS: waitMs > 0 ? Math.ceil(waitMs / 1000) : undefined }
    }
    const { name, digest } = holder
    return { admitted: true, person: { workspaceId, ownerId: null, name, actor: name, admin: true }, credential: digest }
  }

  // Compare the digest with every token: the time must not depend on which token matches, or on how much of it does.
  #holder (token: string): Holder | undefined {
    const presented = digestOf(token)
    let found: Holder | undefined
    for (const holder of this.#tokens) {
      if (timingSafeEqual(holder.digest, presented)) found = holder
    }
    return found
  }
}

/** The digest of a management token, which a session stores. */
export function digestOf (secret: string): Buffer {
  return hash('sha256', secret, 'buffer')
}
