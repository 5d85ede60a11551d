import type { FastifyError } from 'fastify'
import fp from 'fastify-plugin'
import { KeysError, type ErrorCode } from '../core/errors.ts'
import { logOf } from '../http/logging.ts'
import { meanings } from '../http/problem-document.ts'
import { messagePage, type MessageView } from './views/message.ts'
import type { Site } from './views/page.ts'

interface PageText {
  readonly title: string
  /** Default: the error's own message. */
  readonly text?: string
}

interface ErrorPage extends PageText {
  readonly status: number
}

const changed: PageText = { title: 'The key has changed', text: 'Please open the list again to see its current state.' }
const unreadable: PageText = { title: 'The request was not valid', text: 'Please open the page again.' }
const ours: PageText = { title: 'Something went wrong', text: 'This is an error of the service. Please try again.' }

/** The text for every code. The statuses are in `http/problem-document.ts`. */
const texts: Readonly<Record<ErrorCode, PageText>> = {
  not_found: { title: 'Not found', text: 'This key or page does not exist, or it belongs to someone else.' },
  forbidden: { title: 'Not allowed from here' },
  unauthenticated: { title: 'Not signed in' },
  invalid_request: unreadable,
  method_not_allowed: unreadable,
  unsupported_media_type: unreadable,
  body_too_large: unreadable,
  headers_too_large: unreadable,
  request_timeout: { title: 'The request took too long', text: 'Please try again.' },
  invalid_cursor: { title: 'This page of the list no longer exists', text: 'Please start from the newest keys.' },
  already_created: changed,
  already_rotated: { title: 'This key was already rotated', text: 'The form was already sent, and the new token was shown once, in that answer. If you did not copy it, rotate the key again.' },
  idempotency_key_reused: changed,
  key_revoked: changed,
  key_expired: changed,
  token_taken: changed,
  too_many_unknown_tokens: { title: 'Too many requests', text: 'Please try again in a minute.' },
  rate_limited: { title: 'Too many requests', text: 'Please try again in a minute.' },
  unavailable: { title: 'Not available right now', text: 'The database or the sign-in provider did not answer. If no page confirmed a change, nothing was changed. Please try again in a moment.' },
  internal: ours
}

const internal: ErrorPage = { status: 500, ...ours }
const noPage = { status: 404, title: 'No such page', text: 'The address may contain a typing error.' }

/** Shows errors as pages. The page of an unexpected error does not show its cause. */
export const pageErrors = fp<{ site: Site }>(async function pageErrors (app, { site }) {
  const view = (title: string, text: string): MessageView => ({ site, title, text })

  app.setErrorHandler<FastifyError>(async function tellError (error, request, reply) {
    const { status, title, text } = pageOf(error)
    if (status >= 500) logOf(request).error({ err: error }, 'settings page failed')
    else logOf(request).info({ code: codeOf(error), status }, 'settings page refused')
    if (status === 503) reply.header('retry-after', 1)
    const next = status !== 401 ? {} : { next: site.hasSignIn ? { href: site.paths.signIn, label: 'Sign in' } : null }
    return await reply.code(status).type('text/html; charset=utf-8').send(String(messagePage({ ...view(title, text ?? error.message), ...next })))
  })

  app.get('/*', async function tellNoPage (_request, reply) {
    return await reply.code(noPage.status).type('text/html; charset=utf-8').send(String(messagePage(view(noPage.title, noPage.text))))
  })
}, { name: 'page-errors' })

// A status below 500 without a code of ours comes from Fastify and is about the request. Its message is not shown.
function pageOf (error: FastifyError): ErrorPage {
  if (error instanceof KeysError) return { status: meanings[error.code].status, ...texts[error.code] }
  const status = error.statusCode ?? 500
  return status < 500 ? { status, ...unreadable } : internal
}

function codeOf (error: FastifyError): string {
  return error.code ?? 'unknown'
}
