const loopback = /^(localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/

/** Where people and clients reach the service: scheme, host and port. */
export class PublicOrigin {
  readonly #configured: string | undefined

  /** Without `configured` only browsers on this machine are served, under any loopback name. */
  constructor (configured: string | undefined) {
    this.#configured = configured === undefined ? undefined : new URL(configured).origin
  }

  /**
   * For a request's `Host`. `undefined`: neither configured nor loopback, for example a foreign name that resolves to this
   * machine (DNS rebinding).
   */
  of (host: string | undefined): string | undefined {
    return this.#configured ?? (host !== undefined && loopback.test(host) ? `http://${host}` : undefined)
  }
}

/** Whether browsers treat the URL as a secure context: `https:` or loopback. */
export function isTrustworthy (url: string): boolean {
  const { protocol, host } = new URL(url)
  return protocol === 'https:' || (protocol === 'http:' && loopback.test(host))
}
