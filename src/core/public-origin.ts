const loopback = /^(localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/

/** Where people and clients reach the service: scheme, host and port. */
export class PublicOrigin {
  readonly #configured: string | undefined

  /** `configured` left out: only browsers on this machine are served, under whichever loopback name they use. */
  constructor (configured: string | undefined) {
    this.#configured = configured === undefined ? undefined : new URL(configured).origin
  }

  /**
   * For the `Host` that a request names. `undefined`: neither configured nor on this machine. Names of others that lead
   * here (DNS rebinding) are such.
   */
  of (host: string | undefined): string | undefined {
    return this.#configured ?? (host !== undefined && loopback.test(host) ? `http://${host}` : undefined)
  }
}

/** Whether browsers keep what is said over this URL to themselves: `https:`, or a machine's own address. */
export function isTrustworthy (url: string): boolean {
  const { protocol, host } = new URL(url)
  return protocol === 'https:' || (protocol === 'http:' && loopback.test(host))
}
