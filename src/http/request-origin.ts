import type { FastifyRequest } from 'fastify'

// RFC 3986, section 3.2.2 and 3.2.3: an IPv6 address in brackets, an IPv4 address or a name, and a port. RFC 9110, section 4.2.4: no user information.
const hostSyntax = /^(?:\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9._~-]+)?\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::\d{0,5})?$/

/** Whether a text is a host with or without a port, as a `Host` header may have it. */
export function isHost (text: string): boolean {
  return hostSyntax.test(text)
}

/**
 * The origin that a request was sent to: scheme, host and port, as the client or a trusted proxy says. `undefined`: there is no host, or scheme or host are no
 * such thing. The sender chooses the text, so it is checked before it is repeated.
 */
export function requestOrigin ({ protocol, host }: Pick<FastifyRequest, 'protocol' | 'host'>): string | undefined {
  return /^https?$/.test(protocol) && isHost(host) ? `${protocol}://${host}` : undefined
}
