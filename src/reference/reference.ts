import { readFileSync } from 'node:fs'
import type { FastifyPluginAsync } from 'fastify'
import { headersOfPages } from '../pages/page-security.ts'
import type { Description } from './description.ts'
import { llmsText } from './llms.ts'
import { referencePage } from './page.ts'

const assets = [
  { path: '/docs/reference.css', file: 'reference.css', type: 'text/css; charset=utf-8' },
  { path: '/docs/icon.svg', file: 'icon.svg', type: 'image/svg+xml' }
] as const

interface Document {
  readonly path: string
  readonly type: string
  make (description: Description): string | Promise<string>
}

const documents: readonly Document[] = [
  { path: '/openapi.json', type: 'application/json; charset=utf-8', make: (description) => JSON.stringify(description) },
  { path: '/docs', type: 'text/html; charset=utf-8', make: async (description) => String(await referencePage(description)) },
  { path: '/llms.txt', type: 'text/plain; charset=utf-8', make: llmsText }
]

/** The documents about the API, for programs, people and AI assistants. Each is generated once, at its first request. */
export const referenceRoutes: FastifyPluginAsync = async (app) => {
  app.addHook('onRequest', app.refuseQueryCredentials)

  const config = { needsNoStore: true }
  for (const { path, type, make } of documents) {
    let body: Buffer | undefined
    app.get(path, { config, schema: { hide: true } }, async function document (_request, reply) {
      body ??= Buffer.from(await make(app.swagger() as Description))
      if (path === '/docs') reply.headers(headersOfPages())
      return await reply.type(type).send(body)
    })
  }
  app.get('/docs/', { config, schema: { hide: true } }, async function withoutSlash (_request, reply) {
    return await reply.redirect('/docs', 308)
  })

  for (const { path, file, type } of assets) {
    const body = readFileSync(new URL(`../../assets/${file}`, import.meta.url))
    app.get(path, { config, schema: { hide: true } }, async function asset (_request, reply) {
      return await reply.header('cache-control', 'max-age=3600').type(type).send(body)
    })
  }
}
