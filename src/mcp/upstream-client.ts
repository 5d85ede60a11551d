import { Agent as HttpAgent, request as httpRequest, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { Socket } from 'node:net'

/** Why an upstream failed, as logs and metrics show it. */
export type UpstreamCause =
  'refused' | 'dns' | 'unreachable' | 'connect_timeout' | 'tls' | 'certificate' | // before anything was sent
  'closed' | 'timeout' | 'malformed' | // afterwards
  'status' | 'redirect' | 'credential' | 'not_mcp' | 'too_large' // what it answered

/** An upstream gave no usable answer. */
export class UpstreamFailure extends Error {
  override readonly name = 'UpstreamFailure'
  /** Not `cause`, which is a property of every Error. */
  readonly reason: UpstreamCause
  /** Whether a byte of the request may have reached the upstream. False: it certainly did nothing. */
  readonly wasSent: boolean
  /** The code of Node, OpenSSL or the HTTP parser. */
  readonly code: string | undefined

  constructor (reason: UpstreamCause, { wasSent, cause }: { wasSent: boolean, cause?: unknown }) {
    super(`The upstream failed: ${reason}.`, { cause })
    this.reason = reason
    this.wasSent = wasSent
    const code = (cause as { code?: unknown } | undefined)?.code
    this.code = typeof code === 'string' ? code : undefined
  }
}

export interface UpstreamRequest {
  readonly url: URL
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer | undefined
  /** Cancels it, before and after the answer has begun. */
  readonly signal: AbortSignal
  /** Called when the body has left this process and need not be kept. */
  readonly onSent: () => void
}

export interface UpstreamAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly stream: IncomingMessage
}

interface UpstreamClientOptions {
  /** How long an upstream may take to begin its answer, in milliseconds. */
  readonly answerTimeoutMs: number
}

const connectTimeoutMs = 5000
// Servers close idle connections after 2 s or later. Close them earlier: if a server closes a connection while a request is sent, it is
// not known whether the request was carried out.
const idleMs = 1000

/**
 * Sends requests to upstreams, each exactly once: a failed request may have been carried out, so none is repeated. Certificates are checked,
 * redirects are returned and not followed, and there is no limit for the time between two pieces of an answer.
 */
export class UpstreamClient {
  readonly #answerTimeoutMs: number
  readonly #http = new HttpAgent({ keepAlive: true, timeout: idleMs })
  readonly #https = new HttpsAgent({ keepAlive: true, timeout: idleMs })

  constructor ({ answerTimeoutMs }: UpstreamClientOptions) {
    this.#answerTimeoutMs = answerTimeoutMs
  }

  /** Resolves when the answer begins; rejects with an `UpstreamFailure`, or with the signal's reason. */
  async request ({ url, method, headers, body, signal, onSent }: UpstreamRequest): Promise<UpstreamAnswer> {
    signal.throwIfAborted()
    const isHttps = url.protocol === 'https:'
    const options: RequestOptions = {
      method,
      headers: { ...headers, ...(body === undefined ? {} : { 'content-length': String(body.length) }) },
      agent: isHttps ? this.#https : this.#http,
      signal
    }
    const request = isHttps ? httpsRequest(url, options) : httpRequest(url, options)
    const progress = watch(request, { isHttps, answerTimeoutMs: this.#answerTimeoutMs })
    request.once('finish', onSent)
    const answer = new Promise<UpstreamAnswer>((resolve, reject) => {
      request.once('response', (stream) => {
        stream.on('error', () => {})
        resolve({ status: stream.statusCode ?? 0, headers: stream.headers, stream })
      })
      const fail = (error: Error) => { reject(signal.aborted ? signal.reason : progress.failureOf(error)) }
      request.on('error', fail)
      request.once('close', () => { fail(new Error('An upstream closed the connection.')) })
      request.once('upgrade', (_answer, socket: Socket) => {
        socket.destroy()
        reject(new UpstreamFailure('status', { wasSent: true }))
      })
    })
    request.end(body)
    try {
      return await answer
    } finally {
      progress.stop()
    }
  }

  close (): void {
    this.#http.destroy()
    this.#https.destroy()
  }
}

interface WatchOptions {
  readonly isHttps: boolean
  readonly answerTimeoutMs: number
}

// Until the connection is established (for TLS: until the certificate is accepted) all written bytes stay in this process.
function watch (request: ClientRequest, { isHttps, answerTimeoutMs }: WatchOptions) {
  let wasSent = false
  let timedOut: UpstreamCause | undefined
  const expire = (cause: UpstreamCause) => {
    timedOut = cause
    request.destroy(new Error(`An upstream took too long: ${cause}.`))
  }
  const answering = setTimeout(() => { expire(wasSent ? 'timeout' : 'connect_timeout') }, answerTimeoutMs)
  let connecting: NodeJS.Timeout | undefined
  request.once('socket', (socket: Socket) => {
    if (request.reusedSocket) {
      wasSent = true
      return
    }
    connecting = setTimeout(() => { expire('connect_timeout') }, connectTimeoutMs)
    socket.once(isHttps ? 'secureConnect' : 'connect', () => {
      wasSent = true
      clearTimeout(connecting)
    })
  })
  return {
    failureOf: (error: Error) => new UpstreamFailure(timedOut ?? causeOf(error, wasSent), { wasSent, cause: error }),
    stop: () => {
      clearTimeout(answering)
      clearTimeout(connecting)
    }
  }
}

const causes: Readonly<Record<string, UpstreamCause>> = {
  ECONNREFUSED: 'refused',
  ENOTFOUND: 'dns',
  EAI_AGAIN: 'dns',
  EAI_FAIL: 'dns',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  ETIMEDOUT: 'connect_timeout',
  EPROTO: 'tls',
  CERT_HAS_EXPIRED: 'certificate',
  CERT_NOT_YET_VALID: 'certificate',
  CERT_REVOKED: 'certificate',
  CERT_UNTRUSTED: 'certificate',
  CERT_REJECTED: 'certificate',
  CERT_SIGNATURE_FAILURE: 'certificate',
  CERT_CHAIN_TOO_LONG: 'certificate',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'certificate',
  SELF_SIGNED_CERT_IN_CHAIN: 'certificate',
  UNABLE_TO_GET_ISSUER_CERT: 'certificate',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'certificate',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'certificate',
  INVALID_CA: 'certificate',
  INVALID_PURPOSE: 'certificate',
  HOSTNAME_MISMATCH: 'certificate',
  ERR_TLS_CERT_ALTNAME_INVALID: 'certificate'
}

function causeOf (error: Error & { code?: string }, wasSent: boolean): UpstreamCause {
  const { code = '' } = error
  if (code.startsWith('HPE_')) return 'malformed'
  if (wasSent) return 'closed'
  return causes[code] ?? (code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS') ? 'tls' : 'unreachable')
}
