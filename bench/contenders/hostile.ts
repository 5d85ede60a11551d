import { Agent, createServer, request, type ServerResponse } from 'node:http'
import { hostileAnswers, hostileBodies, type HostileAnswer } from '../support/hostile-shapes.ts'

/*
 * The one who attacks, on the core that is not measured: an upstream that answers `tools/list` at `/answers/{name}` in a hostile shape,
 * and a client that sends what `POST /attack` says until `POST /stop`: `{url, token, body?, at}`, `at` requests at a time.
 */
interface Attack {
  readonly url: string
  readonly token: string
  /** The name of a body; none: asks for the list of tools. */
  readonly body?: string
  readonly at: number
}

const list = Buffer.from('{"jsonrpc":"2.0","id":1,"method":"tools/list"}')
let stopping = new AbortController()
let ended: Promise<unknown> = Promise.resolve()
const statuses = new Map<number, number>()

async function attack ({ url, token, body, at }: Attack): Promise<void> {
  const agent = new Agent({ keepAlive: true })
  const bytes = hostileBodies.find(({ name }) => name === body)?.body ?? list
  const { signal } = stopping
  await Promise.all(Array.from({ length: at }, async () => {
    while (!signal.aborted) {
      const status = await send(new URL(url), { token, bytes, agent, signal })
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      // Refused at once, as when too much waits already: comes again like a client that does not care.
      if (status === 0 || status === 429) await new Promise((resolve) => { setTimeout(resolve, 5) })
    }
  }))
  agent.destroy()
}

function send (url: URL, { token, bytes, agent, signal }: { readonly token: string, readonly bytes: Buffer, readonly agent: Agent, readonly signal: AbortSignal }): Promise<number> {
  return new Promise((resolve) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'content-length': bytes.length }
    const sent = request(url, { method: 'POST', headers, agent, signal }, (response) => {
      response.resume().once('close', () => { resolve(response.statusCode ?? 0) })
      response.on('error', () => {})
    })
    sent.once('error', () => { resolve(0) }).end(bytes)
  })
}

function answer ({ contentType, piece, pieces }: HostileAnswer, response: ServerResponse): void {
  let left = pieces
  response.writeHead(200, { 'content-type': contentType })
  const write = (): void => {
    for (let burst = 0; burst < 64 && left > 0 && !response.destroyed; burst++) {
      left--
      if (!response.write(piece)) {
        response.once('drain', write)
        return
      }
    }
    if (left <= 0) response.end()
    else if (!response.destroyed) setImmediate(write)
  }
  write()
}

createServer((incoming, response) => {
  const pieces: Buffer[] = []
  incoming.on('data', (piece: Buffer) => { pieces.push(piece) }).on('end', () => {
    const text = Buffer.concat(pieces).toString()
    const shape = hostileAnswers.find(({ name }) => incoming.url === `/answers/${name}`)
    if (shape !== undefined && text.includes('tools/list')) return answer(shape, response)
    if (incoming.url === '/attack') ended = attack(JSON.parse(text) as Attack)
    if (incoming.url !== '/stop') return response.setHeader('content-type', 'application/json').end('{"jsonrpc":"2.0","id":1,"result":{}}')
    stopping.abort()
    stopping = new AbortController()
    ended.finally(() => {
      response.end(JSON.stringify([...statuses]))
      statuses.clear()
    })
  })
}).listen(Number(process.env['PORT']), '127.0.0.1')
