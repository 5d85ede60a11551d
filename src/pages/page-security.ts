import fp from 'fastify-plugin'
import { KeysError } from '../core/errors.ts'
import type { PublicOrigin } from '../core/public-origin.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Scheme, host and port under which the browser reaches the pages. */
    publicOrigin: string
  }
}

const policy = [
  "default-src 'none'", "style-src 'self'", "script-src 'self'", "img-src 'self'", "connect-src 'self'", "font-src 'self'", "form-action 'self'",
  "base-uri 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"
].join('; ')

export const headersOfPages = {
  'content-security-policy': policy,
  'cache-control': 'no-store',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
  // Not `no-referrer`: browsers would then send `Origin: null` with the pages' own forms (Fetch, "append a request Origin header").
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY'
}

/** Every page of the scope: nothing from elsewhere, in no frame, kept nowhere; and no form that another site has sent. */
export const pageSecurity = fp<{ origin: PublicOrigin }>(async function pageSecurity (app, { origin }) {
  app.decorateRequest('publicOrigin', '')

  app.addHook('onRequest', async function setHeaders (_request, reply) {
    reply.headers(headersOfPages)
  })

  app.addHook('onRequest', async function findOrigin (request) {
    const own = origin.of(request.headers.host)
    if (own === undefined) throw new KeysError('forbidden', { detail: 'These pages are open on this machine only, until PUBLIC_URL says under which https: address they are reached.' })
    request.publicOrigin = own
  })

  // Browsers send both headers with every form; whoever sends neither is no browser, and needs no page.
  app.addHook('onRequest', async function refuseForeignForms (request) {
    if (request.method === 'GET' || request.method === 'HEAD') return
    const site = request.headers['sec-fetch-site']
    if (request.headers.origin !== request.publicOrigin || (site !== undefined && site !== 'same-origin')) {
      throw new KeysError('forbidden', { detail: 'This form was not sent from these pages. Please open them again.' })
    }
  })
}, { name: 'page-security' })
