import { createPrivateKey, createPublicKey } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, SignJWT, type JWK } from 'jose'
import { LRUCache } from 'lru-cache'
import type { KeyRecord } from '../core/key-record.ts'
import { scopes } from '../core/scopes.ts'

interface SigningKey {
  readonly key: ReturnType<typeof createPrivateKey>
  readonly kid: string
}

/** The subject of a token: a key, or the gateway itself. */
export type Subject = Pick<KeyRecord, 'id' | 'workspaceId' | 'ownerId' | 'scope'> | undefined

const lifetimeS = 60
const reusedForMs = 30_000
const rememberedMax = 10_000
const issuer = 'navis-keys'
const block = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]+?-----END [A-Z ]*PRIVATE KEY-----/g

/**
 * Signs the identity of the caller for upstreams that verify it: ES256, valid for one minute, `aud` the upstream's URL, `sub` the key's id.
 * Revocation does not depend on its lifetime: the gateway checks the key before each call and each piece of an answer.
 */
export class CallerTokens {
  readonly #signing: SigningKey
  readonly #tokens = new LRUCache<string, string>({ max: rememberedMax, ttl: reusedForMs })
  /** What `/.well-known/jwks.json` shows. */
  readonly jwks: { readonly keys: readonly JWK[] }

  private constructor (signing: SigningKey, keys: readonly JWK[]) {
    this.#signing = signing
    this.jwks = { keys }
  }

  /** `pem` holds P-256 private keys. The first one signs; all are published, so that keys can be replaced without a gap. */
  static async open (pem: string): Promise<CallerTokens> {
    const keys = (pem.match(block) ?? []).map((text) => createPrivateKey(text))
    const published = await Promise.all(keys.map(publicJwk))
    const [first] = keys
    const kid = published[0]?.kid
    if (first === undefined || kid === undefined) throw new TypeError('There is no private key in PEM. Make one: openssl ecparam -name prime256v1 -genkey -noout.')
    return new CallerTokens({ key: first, kid }, published)
  }

  async tokenFor (audience: string, subject: Subject): Promise<string> {
    const name = JSON.stringify([audience, subject?.id, subject?.scope])
    const held = this.#tokens.get(name)
    if (held !== undefined) return held
    const token = await this.#sign(audience, subject)
    this.#tokens.set(name, token)
    return token
  }

  async #sign (audience: string, subject: Subject): Promise<string> {
    const claims = subject === undefined
      ? {}
      : { workspace_id: subject.workspaceId, ...(subject.ownerId === null ? {} : { owner_id: subject.ownerId }), scope: scopes[subject.scope].implies.join(' ') }
    return await new SignJWT(claims)
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid: this.#signing.kid })
      .setIssuer(issuer)
      .setAudience(audience)
      .setSubject(subject?.id ?? issuer)
      .setIssuedAt()
      .setExpirationTime(`${lifetimeS}s`)
      .sign(this.#signing.key)
  }
}

async function publicJwk (key: ReturnType<typeof createPrivateKey>): Promise<JWK> {
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new TypeError('ES256 needs a P-256 key. Make one: openssl ecparam -name prime256v1 -genkey -noout.')
  const jwk = await exportJWK(createPublicKey(key))
  return { ...jwk, alg: 'ES256', use: 'sig', kid: await calculateJwkThumbprint(jwk) }
}
