import type { FastifyRequest } from 'fastify'
import { clientConfigurations } from './views/client-configurations.ts'
import type { SetUpView } from './views/token-once.ts'

/** The token and the steps to set up apps with it. */
export function setUpOf (request: FastifyRequest, { token, mcpServer, tryUrl }: { readonly token: string, readonly mcpServer: string | undefined, readonly tryUrl: string | undefined }): SetUpView {
  const publicUrl = request.publicOrigin
  const mcpUrl = mcpServer && new URL(mcpServer, publicUrl).href
  const tryAt = tryUrl && new URL(tryUrl, publicUrl).href
  return { token, configurations: clientConfigurations({ token, tryAt, mcpUrl }), hasMcpServer: mcpServer !== undefined }
}
