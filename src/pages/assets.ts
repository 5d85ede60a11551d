import type { FastifyInstance } from 'fastify'
import type { PageAssets } from './page-assets.ts'

export async function assetRoutes (app: FastifyInstance, { assets }: { assets: PageAssets }): Promise<void> {
  for (const { name, type, body } of assets.files) {
    app.get<{ Params: { version: string } }>(`/assets/:version/${name}`, async function sendAsset (request, reply) {
      // During a rollout an old replica may get a request for a file of the new version: answer with its own, but do not let browsers cache that.
      const own = request.params.version === assets.version
      return await reply.type(type).header('cache-control', own ? 'public, max-age=31536000, immutable' : 'no-store').send(body)
    })
  }
}
