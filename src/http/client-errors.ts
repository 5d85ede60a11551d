import type { Socket } from 'node:net'
import { STATUS_CODES } from 'node:http'
import { KeysError, type ErrorCode } from '../core/errors.ts'
import { meanings, problemDocument, problemType } from './problem-document.ts'

const refusals: Readonly<Record<string, { code: ErrorCode, detail: string }>> = {
  HPE_HEADER_OVERFLOW: { code: 'headers_too_large', detail: 'All headers together must be at most 16 KiB.' },
  ERR_HTTP_REQUEST_TIMEOUT: { code: 'request_timeout', detail: 'The request did not arrive in time. Send it without pauses.' }
}
// Closing at once would reset the connection while the client still sends, and the answer could be lost.
const lingerMs = 1000
const unreadable = { code: 'invalid_request', detail: 'This is not a valid HTTP/1.1 request.' } as const

/**
 * Answers requests that the HTTP parser rejects. The error contains the received bytes, so it is neither shown nor logged.
 */
export function refuseAtSocket (error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable || socket.destroyed) {
    socket.destroy()
    return
  }
  const { code, detail } = refusals[error.code ?? ''] ?? unreadable
  const { status } = meanings[code]
  const body = problemDocument(new KeysError(code, { detail }))
  socket.end([
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `Content-Type: ${problemType}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'X-Content-Type-Options: nosniff',
    'Connection: close',
    '',
    body
  ].join('\r\n'))
  // A client that ignores the end and keeps sending single bytes would hold the descriptor without limit.
  setTimeout(() => { socket.destroy() }, lingerMs).unref()
}
