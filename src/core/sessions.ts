import { createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Person } from './person.ts'

export interface SessionLimits {
  /** Milliseconds without use after which a session ends. */
  readonly idleMs: number
  /** Milliseconds after signing in at which a session ends in any case. Rights that the provider has withdrawn end then at the latest. */
  readonly lifetimeMs: number
}

/** Sessions on the primary, stored by the SHA-256 of their secret: a stolen copy of the table opens no session. */
export interface SessionStore {
  /** `credential`: the digest of the management token that opens it; `undefined`: a provider does. */
  start (digest: Buffer, person: Person, opening: { readonly limits: SessionLimits, readonly credential: Buffer | undefined }): Promise<void>
  /** The person; counts as a use of the session. `undefined`: no such session, it has ended, or its credential is not among `credentials`. */
  use (digest: Buffer, validity: { readonly limits: SessionLimits, readonly credentials: readonly Buffer[] }): Promise<Person | undefined>
  end (digest: Buffer): Promise<void>
}

export interface Session {
  readonly person: Person
  /** The CSRF token in every form of this session's pages. */
  readonly formToken: string
}

const secretBytes = 32
const secretShape = /^[A-Za-z0-9_-]{43}$/

interface SessionsOptions {
  readonly store: SessionStore
  readonly limits: SessionLimits
  /** SHA-256 of every current management token. A session ends with the token that opened it. */
  readonly credentials?: readonly Buffer[]
}

export class Sessions {
  readonly #store: SessionStore
  readonly #credentials: readonly Buffer[]
  readonly limits: SessionLimits

  constructor ({ store, limits, credentials = [] }: SessionsOptions) {
    this.#store = store
    this.#credentials = credentials
    this.limits = limits
  }

  /** A new session under a new secret. A secret that the browser sent is never reused (session fixation). */
  async start (person: Person, credential?: Buffer): Promise<string> {
    const secret = randomBytes(secretBytes).toString('base64url')
    await this.#store.start(digestOf(secret), person, { limits: this.limits, credential })
    return secret
  }

  async find (secret: string | undefined): Promise<Session | undefined> {
    if (secret === undefined || !secretShape.test(secret)) return undefined
    const person = await this.#store.use(digestOf(secret), { limits: this.limits, credentials: this.#credentials })
    return person && { person, formToken: formTokenOf(secret) }
  }

  async end (secret: string | undefined): Promise<void> {
    if (secret !== undefined && secretShape.test(secret)) await this.#store.end(digestOf(secret))
  }
}

export function isFormToken (session: Session, presented: unknown): boolean {
  if (typeof presented !== 'string') return false
  const expected = Buffer.from(session.formToken)
  const given = Buffer.from(presented)
  return given.length === expected.length && timingSafeEqual(given, expected)
}

function digestOf (secret: string): Buffer {
  return hash('sha256', secret, 'buffer')
}

function formTokenOf (secret: string): string {
  return createHmac('sha256', secret).update('navis-keys form').digest('base64url')
}
