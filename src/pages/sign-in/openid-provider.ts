import * as client from 'openid-client'
import type { OpenIdSettings } from '../../config/pages-config.ts'
import { KeysError, unavailable } from '../../core/errors.ts'
import { isComplete, personOfClaims, type Admission, type Claims } from './person-of-claims.ts'

/** What the browser stores while the person is at the provider. */
export interface Journey {
  readonly state: string
  readonly nonce: string
  readonly verifier: string
}

const timeoutS = 5

/** Sign-in by OpenID Connect: authorization code with PKCE (RFC 7636), state and nonce. */
export class OpenIdProvider {
  readonly #options: OpenIdSettings
  #discovered: Promise<client.Configuration> | undefined

  constructor (options: OpenIdSettings) {
    this.#options = options
  }

  async leave (redirectUri: string): Promise<{ url: URL, journey: Journey }> {
    const provider = await this.#provider()
    const journey = { state: client.randomState(), nonce: client.randomNonce(), verifier: client.randomPKCECodeVerifier() }
    const url = client.buildAuthorizationUrl(provider, {
      redirect_uri: redirectUri,
      scope: this.#options.scope,
      state: journey.state,
      nonce: journey.nonce,
      code_challenge: await client.calculatePKCECodeChallenge(journey.verifier),
      code_challenge_method: 'S256'
    })
    return { url, journey }
  }

  /** `url`: the callback URL that the provider redirected to. Rejects with `unauthenticated` if the sign-in was refused, with `unavailable` if the provider failed. */
  async arrive (url: URL, journey: Journey): Promise<Admission> {
    const provider = await this.#provider()
    try {
      return personOfClaims(await this.#claims(provider, url, journey), this.#options.claims)
    } catch (error) {
      throw isRefusal(error) ? refused(error) : unavailable('The sign-in provider did not answer as it has to.', error)
    }
  }

  /** The provider's sign-out URL, if it has one (OpenID Connect RP-Initiated Logout). */
  async signOutUrl (returnTo: string): Promise<string | undefined> {
    const provider = await this.#provider().catch(() => undefined)
    if (provider?.serverMetadata().end_session_endpoint === undefined) return undefined
    return client.buildEndSessionUrl(provider, { post_logout_redirect_uri: returnTo }).href
  }

  async #claims (provider: client.Configuration, url: URL, { state, nonce, verifier }: Journey): Promise<Claims> {
    const tokens = await client.authorizationCodeGrant(provider, url, { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true })
    const claims = tokens.claims()!
    if (isComplete(claims, this.#options.claims) || provider.serverMetadata().userinfo_endpoint === undefined) return claims
    return { ...await client.fetchUserInfo(provider, tokens.access_token, claims.sub), ...claims }
  }

  // Discover the provider at the first sign-in, and again after a failure: the service must start and verify keys without it.
  async #provider (): Promise<client.Configuration> {
    this.#discovered ??= this.#discover()
    try {
      return await this.#discovered
    } catch (error) {
      this.#discovered = undefined
      throw unavailable('The sign-in provider cannot be reached.', error)
    }
  }

  async #discover (): Promise<client.Configuration> {
    const { issuer, clientId, clientSecret } = this.#options
    const server = new URL(issuer)
    const execute = [client.enableNonRepudiationChecks, ...(server.protocol === 'http:' ? [client.allowInsecureRequests] : [])]
    const authentication = clientSecret === undefined ? client.None() : undefined
    return await client.discovery(server, clientId, clientSecret, authentication, { execute, timeout: timeoutS })
  }
}

// A wrong state, a code that was used twice, a token for another client, or a refusal by the person. Everything else is an outage.
function isRefusal (error: unknown): boolean {
  if (error instanceof client.AuthorizationResponseError) return error.error !== 'temporarily_unavailable' && error.error !== 'server_error'
  if (error instanceof client.ResponseBodyError) return error.error === 'invalid_grant'
  return error instanceof client.ClientError && error.code !== undefined && refusalCodes.has(error.code)
}

const refusalCodes = new Set(['OAUTH_INVALID_RESPONSE', 'OAUTH_JWT_CLAIM_COMPARISON_FAILED', 'OAUTH_JWT_TIMESTAMP_CHECK_FAILED'])

function refused (cause: unknown): KeysError {
  return new KeysError('unauthenticated', { detail: 'The sign-in was not completed. Please start it again.', cause })
}
