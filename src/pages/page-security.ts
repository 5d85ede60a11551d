import fp from 'fastify-plugin'
import { KeysError } from '../core/errors.ts'
import type { KeyPagesContext } from './context.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The origin (scheme, host and port) of the pages for this request. */
    publicOrigin: string
  }
}

const policyFor = (frameOrigins: readonly string[]): string => [
  "default-src 'none'", "style-src 'self'", "script-src 'self'", "img-src 'self'", "connect-src 'self'", "font-src 'self'", "form-action 'self'",
  "base-uri 'none'", `frame-ancestors ${frameOrigins.length === 0 ? "'none'" : frameOrigins.join(' ')}`, "require-trusted-types-for 'script'", "trusted-types 'none'"
].join('; ')

/** `frameOrigins`: origins whose pages may embed these in a frame. */
export const headersOfPages = (frameOrigins: readonly string[] = []) => ({
  'content-security-policy': policyFor(frameOrigins),
  'cache-control': 'no-store',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
  // Not `no-referrer`: browsers would then send `Origin: null` with the pages' own forms (Fetch, "append a request Origin header").
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  // X-Frame-Options has no list of origins, so it is sent only where no origin is allowed.
  ...frameOrigins.length === 0 && { 'x-frame-options': 'DENY' }
})

/** Sends the security headers with every page of the scope, and refuses forms that another site has sent. */
export const pageSecurity = fp<Pick<KeyPagesContext, 'originOf' | 'frameOrigins'>>(async function pageSecurity (app, { originOf, frameOrigins }) {
  const headers = headersOfPages(frameOrigins)
  app.decorateRequest('publicOrigin', '')

  app.addHook('onRequest', async function setHeaders (_request, reply) {
    reply.headers(headers)
  })

  app.addHook('onRequest', async function findOrigin (request) {
    const own = originOf(request)
    if (own === undefined) throw new KeysError('forbidden', { detail: 'These pages can be opened only on this machine, unless PUBLIC_URL is set to their https: address.' })
    request.publicOrigin = own
  })

  // Browsers send `Origin` with every form. Other clients use the API.
  app.addHook('onRequest', async function refuseForeignForms (request) {
    if (request.method === 'GET' || request.method === 'HEAD') return
    const site = request.headers['sec-fetch-site']
    if (request.headers.origin !== request.publicOrigin || (site !== undefined && site !== 'same-origin')) {
      throw new KeysError('forbidden', { detail: 'This form was not sent from these pages. Please open them again.' })
    }
  })
}, { name: 'page-security' })
