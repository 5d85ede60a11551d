import type { FastifyError } from 'fastify'
import fp from 'fastify-plugin'
import { KeysError, type ErrorCode } from '../core/errors.ts'
import type { PageAssets } from './page-assets.ts'
import { logOf } from '../http/logging.ts'
import { messagePage, type MessageView } from './views/message.ts'
import { paths } from './views/page.ts'

interface Telling {
  readonly status: number
  readonly title: string
  /** Left out: the error's own words. */
  readonly text?: string
}

const tellings: Partial<Record<ErrorCode, Telling>> = {
  not_found: { status: 404, title: 'No such key', text: 'There is none, or it is someone else’s.' },
  forbidden: { status: 403, title: 'Not from here' },
  unauthenticated: { status: 401, title: 'Not signed in' },
  invalid_request: { status: 400, title: 'This did not arrive as it should', text: 'Please open the page again.' },
  invalid_cursor: { status: 400, title: 'This page of the list is gone', text: 'Please start from the newest keys.' },
  unavailable: { status: 503, title: 'Not available right now', text: 'What keeps the keys, or signs you in, did not answer. Nothing was changed unless a page told you so. Please try again in a moment.' }
}

const internal: Telling = { status: 500, title: 'Something went wrong', text: 'This is our fault. Please try again.' }
const noPage: Telling = { status: 404, title: 'No such page', text: 'The address may be mistyped.' }

/** Errors as pages, for people; what nobody foresaw tells nothing of its cause. */
export const pageErrors = fp<{ assets: PageAssets }>(async function pageErrors (app, { assets }) {
  const view = (title: string, text: string): MessageView => ({ assets: assets.urls, title, text })

  app.setErrorHandler<FastifyError>(async function tellError (error, request, reply) {
    const { status, title, text } = tellingOf(error)
    if (status >= 500) logOf(request).error({ err: error }, 'settings page failed')
    else logOf(request).info({ code: codeOf(error), status }, 'settings page refused')
    if (status === 503) reply.header('retry-after', 1)
    const next = status === 401 ? { next: { href: paths.signIn, label: 'Sign in' } } : {}
    return await reply.code(status).type('text/html; charset=utf-8').send(String(messagePage({ ...view(title, text ?? error.message), ...next })))
  })

  app.get('/settings/*', async function tellNoPage (_request, reply) {
    return await reply.code(noPage.status).type('text/html; charset=utf-8').send(String(messagePage(view(noPage.title, noPage.text!))))
  })
}, { name: 'page-errors' })

// Errors of the framework with a status below 500 are about the request; their words are the framework's, and stay away.
function tellingOf (error: FastifyError): Telling {
  if (error instanceof KeysError) return tellings[error.code] ?? internal
  const status = error.statusCode ?? 500
  return status < 500 ? { ...tellings.invalid_request!, status } : internal
}

function codeOf (error: FastifyError): string {
  return error.code ?? 'unknown'
}
