import formbody from '@fastify/formbody'
import fp from 'fastify-plugin'
import type { KeyPagesContext } from './context.ts'
import { pageErrors } from './page-errors.ts'
import { pageSecurity } from './page-security.ts'

/** Settings for a scope of pages: hidden from the API description, only form bodies, security headers, errors as pages. */
export const pageScope = fp<Pick<KeyPagesContext, 'originOf' | 'frameOrigins' | 'site' | 'secrets'>>(async function pageScope (app, context) {
  app.addHook('onRoute', (route) => { route.schema = Object.assign({}, route.schema, { hide: true }) })
  app.removeAllContentTypeParsers()
  await app.register(formbody, { bodyLimit: 16_384 })
  await app.register(pageErrors, context)
  await app.register(pageSecurity, context)
  app.addHook('onRequest', context.secrets.refuseQueryCredentials)
}, { name: 'page-scope' })
