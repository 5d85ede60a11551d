import type { FastifyInstance, FastifyReply } from 'fastify'
import { counted } from '../core/counted.ts'
import { rules } from '../core/key-rules.ts'
import { routes } from './views/page.ts'
import { isUnsent, signInPage } from './views/sign-in.ts'
import type { SettingsContext } from './context.ts'
import { isAgain } from './form-again.ts'

const workspaceShape = new RegExp(rules.id.pattern, 'u')

/** Sign-in with a management token, for embedded mode without a provider. */
export async function managementSignInRoutes (app: FastifyInstance, { signIn, site, secrets }: SettingsContext): Promise<void> {
  if (signIn.way !== 'management-token') throw new Error('The sign-in by management token has no door.')
  const { door } = signIn

  app.get<{ Querystring: Record<string, unknown> }>(routes.signIn, async function askForToken (request, reply) {
    if (!isAgain(request.query)) return await show(reply, { isUnsent: isUnsent(request.query) })
    const { workspace_id: workspaceId } = request.query
    if (typeof workspaceId !== 'string' || !workspaceShape.test(workspaceId)) return await show(reply.code(422), { fault: `A workspace is ${rules.id.says}.` })
    return await show(reply.code(401), { workspaceId, fault: 'This is not a management token of this service.' })
  })

  app.post<{ Body: Record<string, unknown> }>(routes.signIn, async function takeToken (request, reply) {
    const { management_token: token, workspace_id: workspaceId } = request.body
    if (typeof workspaceId !== 'string' || !workspaceShape.test(workspaceId)) return await reply.redirect(`${site.paths.signIn}?again=yes`, 303)
    if (secrets.holdsSecret(workspaceId)) return await show(reply.code(422), { fault: 'The workspace field contains a token. Nothing was stored. Enter the name of the workspace instead.' })
    const attempted = door.attempt({ token: typeof token === 'string' ? token.trim() : '', workspaceId, address: request.ip })
    if (attempted.admitted) {
      await reply.startSession(attempted.person, attempted.credential)
      return await reply.redirect(site.paths.list, 303)
    }
    const { retryAfterS } = attempted
    // Redirect, so that Back does not ask whether to send the form again.
    if (retryAfterS === undefined) return await reply.redirect(`${site.paths.signIn}?${new URLSearchParams({ workspace_id: workspaceId, again: 'yes' }).toString()}`, 303)
    return await show(reply.code(429).header('retry-after', retryAfterS), { workspaceId, fault: `Too many wrong tokens. Please wait ${counted(retryAfterS, 'second')}.` })
  })

  async function show (reply: FastifyReply, entered: { workspaceId?: string, fault?: string, isUnsent?: boolean }) {
    return await reply.type('text/html; charset=utf-8').send(String(signInPage({ site, way: 'management-token', ...entered })))
  }
}
