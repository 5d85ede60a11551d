import type { FastifyRequest } from 'fastify'
import { clientConfigurations } from './views/client-configurations.ts'
import type { SetUpView } from './views/token-once.ts'

/** The token and how to set up apps with it, for the one page that shows them. */
export function setUpOf (request: FastifyRequest, { token, mcpServer, tryUrl }: { readonly token: string, readonly mcpServer: string | undefined, readonly tryUrl: string | undefined }): SetUpView {
  const publicUrl = request.publicOrigin
  const mcpUrl = mcpServer && new URL(mcpServer, publicUrl).href
  const tryAt = tryUrl && new URL(tryUrl, publicUrl).href
  return { token, configurations: clientConfigurations({ token, tryAt, mcpUrl }), hasMcpServer: mcpServer !== undefined }
}
