import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardowns } from '../support/servers.ts'

export interface Seen {
  readonly method: string
  readonly url: string
  /** Each header as it came, one pair a line on the wire; names in lower case. */
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  readonly body: string
}

export interface Upstream {
  readonly port: number
  /** Every request that was let through to it, in order. */
  readonly seen: Seen[]
}

/** The service that the proxy protects. It knows nothing of keys and notes all that it is sent. */
export async function startUpstream (t: Teardowns): Promise<Upstream> {
  const seen: Seen[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const raw = request.rawHeaders
    const headers = raw.flatMap((name, i) => i % 2 === 0 ? [[name.toLowerCase(), raw[i + 1] ?? ''] as const] : [])
    seen.push({ method: request.method ?? '', url: request.url ?? '', headers, body })
    response.writeHead(request.url === '/teapot' ? 418 : 200, { 'content-type': 'text/plain' }).end('from upstream')
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return { port: (server.address() as AddressInfo).port, seen }
}

export function valuesOf (seen: Seen | undefined, name: string): string[] {
  return seen?.headers.filter(([given]) => given === name).map(([, value]) => value) ?? []
}
