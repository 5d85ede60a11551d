import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardowns } from './servers.ts'

export interface Received {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

type Answer = (request: Received, response: ServerResponse) => void

/** An HTTP server that records all requests and gives prepared answers. */
export async function recordingUpstream (t: Teardowns, answer: Answer = answerOk) {
  const received: Received[] = []
  const server = createServer((request, response) => {
    read(request).then((body) => {
      const all: Received = { method: request.method ?? '', url: request.url ?? '', headers: request.headers, body }
      received.push(all)
      answer(all, response)
    }, () => { response.destroy() })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => { server.close(resolve) })
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`, received, server }
}

async function read (request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = []
  for await (const piece of request) pieces.push(piece as Buffer)
  return Buffer.concat(pieces).toString('latin1')
}

function answerOk (_request: Received, response: ServerResponse): void {
  response.setHeader('content-type', 'application/json')
  response.end('{"jsonrpc":"2.0","id":1,"result":{}}')
}
