import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

/** How a request ended. */
export interface RequestEnd {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  /** The pattern of its route; `undefined`: it has none. */
  readonly route: string | undefined
  /** From the first look at the request to the last byte of the answer, in milliseconds. */
  readonly elapsedMs: number
  /** `undefined`: the client disconnected before the status was sent. */
  readonly status: number | undefined
  /** `false`: the client disconnected before the end of the answer, as clients of streams do. */
  readonly isAnswered: boolean
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Calls `listener` once for each request, when it ends. */
    onRequestEnd (listener: (end: RequestEnd) => void): void
    /** The replies that have not ended. */
    openReplies (): FastifyReply[]
  }
  interface FastifyReply {
    /** Monotonic milliseconds. */
    beganAt: number
    /** The pattern of the route; empty: not known yet. */
    route: string
  }
}

const finished = 'http.server.response.finish'

/**
 * Observes the end of every request through a diagnostics channel of Node. Fastify's `onResponse` adds two listeners to every answer,
 * which costs more than a verification, and is not called for a client that has disconnected (docs/decisions/0051).
 */
export const requestEnd = fp(async (app) => {
  const replyOf = Symbol('navis-keys.reply')
  const repliesOf = Symbol('navis-keys.replies')
  type Answer = FastifyReply['raw'] & { [replyOf]?: FastifyReply }
  type Connection = Socket & { [repliesOf]?: OpenReplies }

  const listeners: Array<(end: RequestEnd) => void> = []
  const connections = new Set<OpenReplies>()
  app.decorate('onRequestEnd', (listener) => { listeners.push(listener) })
  app.decorate('openReplies', () => [...connections].flatMap((replies) => replies.all()))
  app.decorateReply('beganAt', 0)
  app.decorateReply('route', '')

  // Each access to `request.routeOptions` builds a new object with all route options, which is slow.
  app.addHook('onRoute', (options) => {
    const { url, onRequest = [] } = options
    options.onRequest = [(_request, reply, done) => { reply.route = url; done() }, ...[onRequest].flat()]
  })

  app.addHook('onRequest', (request, reply, done) => {
    reply.beganAt = performance.now()
    const answer: Answer = reply.raw
    const { socket } = request.raw
    if (socket instanceof Socket) {
      answer[replyOf] = reply
      repliesOn(socket).add(reply)
    } else {
      answer.once('finish', () => { end(reply, true) })
    }
    done()
  })
  const onFinished = (message: unknown): void => {
    const { response, socket } = message as { response: Answer, socket: Connection }
    const reply = response[replyOf]
    if (reply !== undefined && socket[repliesOf]?.delete(reply) === true) end(reply, true)
  }
  subscribe(finished, onFinished)
  app.addHook('onClose', async () => { unsubscribe(finished, onFinished) })

  function repliesOn (socket: Connection): OpenReplies {
    return socket[repliesOf] ?? watch(socket)
  }

  function watch (socket: Connection): OpenReplies {
    const replies = new OpenReplies()
    socket[repliesOf] = replies
    connections.add(replies)
    socket.once('close', () => {
      connections.delete(replies)
      for (const reply of replies.all()) end(reply, false)
    })
    return replies
  }

  function end (reply: FastifyReply, isAnswered: boolean): void {
    const elapsedMs = performance.now() - reply.beganAt
    const { request } = reply
    // If an earlier hook answers, the hooks of the route have not run and the pattern is missing.
    const route = reply.route === '' ? request.routeOptions.url : reply.route
    const status = isAnswered || reply.raw.headersSent ? reply.statusCode : undefined
    const ending = { request, reply, route, elapsedMs, status, isAnswered }
    for (const listener of listeners) listener(ending)
  }
}, { name: 'request-end', fastify: '5.x' })

/**
 * The replies of one connection that have not ended: one, or none, unless a client sends requests without waiting. Not a `Set`, which the engine
 * makes anew each time that it becomes empty.
 */
class OpenReplies {
  #newest: FastifyReply | undefined
  readonly #before: FastifyReply[] = []

  add (reply: FastifyReply): void {
    if (this.#newest !== undefined) this.#before.push(this.#newest)
    this.#newest = reply
  }

  /** Returns whether it was there. */
  delete (reply: FastifyReply): boolean {
    if (reply === this.#newest) {
      this.#newest = undefined
      return true
    }
    const at = this.#before.indexOf(reply)
    if (at !== -1) this.#before.splice(at, 1)
    return at !== -1
  }

  all (): FastifyReply[] {
    return this.#newest === undefined ? [...this.#before] : [...this.#before, this.#newest]
  }
}
