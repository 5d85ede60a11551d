import type { FastifyRequest } from 'fastify'
import { clientConfigurations } from './views/client-configurations.ts'
import type { SetUpView } from './views/token-once.ts'

/** The token and how to set up apps with it, for the one page that shows them. */
export function setUpOf (request: FastifyRequest, { token, mcpServer }: { token: string, mcpServer: string | undefined }): SetUpView {
  const publicUrl = request.publicOrigin
  const mcpUrl = mcpServer && new URL(mcpServer, publicUrl).href
  return { token, configurations: clientConfigurations({ token, publicUrl, mcpUrl }), hasMcpServer: mcpServer !== undefined }
}
