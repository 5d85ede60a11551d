import { createHmac } from 'node:crypto'
import type { Person } from './person.ts'

/** What goes into the forms of people whom another application has signed in: the same on every replica, and one that only their own pages show. */
export class FormTokens {
  readonly #sharedSecret: () => Promise<Uint8Array>
  #key: Buffer | undefined

  constructor ({ store }: { readonly store: { sharedSecret (): Promise<Uint8Array> } }) {
    this.#sharedSecret = () => store.sharedSecret()
  }

  /** `session`: tells the person's sessions apart; '' where that is not known. */
  async of ({ workspaceId, ownerId, actor, admin }: Person, session: string): Promise<string> {
    // The secret seals cursors too: a key of its own keeps the one from being taken for the other.
    this.#key ??= createHmac('sha256', await this.#sharedSecret()).update('navis-keys form tokens').digest()
    return createHmac('sha256', this.#key).update(JSON.stringify([workspaceId, ownerId, actor, admin, session])).digest('base64url')
  }
}
