import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardowns } from '../support/servers.ts'

/** What the front does with a request: `pass` it on, `cut` the connection, `lose` the answer after it was passed on, `hang`, or answer by itself. */
export type Deed = 'pass' | 'cut' | 'lose' | 'hang' | { readonly status: number, readonly headers?: Readonly<Record<string, string>>, readonly body?: string }

export interface Front {
  readonly url: string
  /** What happens to the next requests, in order; afterwards all pass. */
  readonly plan: Deed[]
  /** `METHOD path` of each request that has come. */
  readonly seen: string[]
}

/** A proxy in front of a service that does to each request what the test says. */
export async function startFront (t: Teardowns, target: string): Promise<Front> {
  const plan: Deed[] = []
  const seen: string[] = []
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`)
    act(plan.shift() ?? 'pass', target, request, response).catch(() => { response.destroy() })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, plan, seen }
}

async function act (deed: Deed, target: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  if (deed === 'hang') return
  if (deed === 'cut') {
    request.socket.destroy()
    return
  }
  if (typeof deed === 'object') {
    response.writeHead(deed.status, deed.headers).end(deed.body)
    return
  }
  const { host: _host, connection: _connection, 'content-length': _length, ...headers } = request.headers as Record<string, string>
  const body = Buffer.concat(chunks)
  const answer = await fetch(target + request.url, { method: request.method!, headers, ...(body.length > 0 ? { body } : {}) })
  const text = await answer.text()
  if (deed === 'lose') {
    request.socket.destroy()
    return
  }
  response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' }).end(text)
}
