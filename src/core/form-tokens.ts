import { createHmac } from 'node:crypto'
import type { Person } from './person.ts'

/** CSRF tokens for the forms of people whom a host application has signed in. All replicas make the same one; only the person's own pages show it. */
export class FormTokens {
  readonly #sharedSecret: () => Promise<Uint8Array>
  #key: Buffer | undefined

  constructor ({ store }: { readonly store: { sharedSecret (): Promise<Uint8Array> } }) {
    this.#sharedSecret = () => store.sharedSecret()
  }

  /** `session`: tells the person's sessions apart; '' where that is not known. */
  async of ({ workspaceId, ownerId, actor, admin }: Person, session: string): Promise<string> {
    // A derived key: the same secret signs cursors, and neither must be accepted as the other.
    this.#key ??= createHmac('sha256', await this.#sharedSecret()).update('navis-keys form tokens').digest()
    return createHmac('sha256', this.#key).update(JSON.stringify([workspaceId, ownerId, actor, admin, session])).digest('base64url')
  }
}
