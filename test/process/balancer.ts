import { once } from 'node:events'
import { Agent, createServer, request as httpRequest, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardowns } from '../support/servers.ts'

/** Passes each request on once, to a replica that was ready when it was last asked, over connections that it keeps. No request is repeated. */
export class Balancer {
  readonly #server: Server
  readonly #agents = new Map<number, Agent>()
  readonly #ready = new Set<number>()
  readonly #timer: NodeJS.Timeout
  #turn = 0

  private constructor (lookEveryMs: number) {
    this.#server = createServer((request, response) => {
      const ports = [...this.#ready]
      const port = ports[this.#turn++ % Math.max(ports.length, 1)]
      if (port === undefined) { response.writeHead(599).end('no replica is ready'); return }
      const passed = httpRequest({ port, host: '127.0.0.1', path: request.url, method: request.method, headers: { ...request.headers, connection: 'keep-alive' }, agent: this.#agents.get(port) }, (answer) => {
        const { connection, ...headers } = answer.headers
        response.writeHead(answer.statusCode ?? 0, headers)
        answer.on('error', () => response.destroy()).pipe(response)
      })
      passed.on('error', () => { response.destroy() })
      response.on('close', () => { if (!response.writableFinished) passed.destroy() })
      request.pipe(passed)
    })
    this.#timer = setInterval(() => { for (const port of this.#agents.keys()) this.#look(port) }, lookEveryMs)
  }

  static async start (t: Teardowns, { lookEveryMs }: { lookEveryMs: number }): Promise<Balancer> {
    const balancer = new Balancer(lookEveryMs)
    t.teardown(() => { balancer.#close() })
    balancer.#server.listen(0, '127.0.0.1')
    await once(balancer.#server, 'listening')
    return balancer
  }

  get url (): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  add (port: number): void {
    this.#agents.set(port, new Agent({ keepAlive: true }))
  }

  /** Forgets a replica that has ended. */
  remove (port: number): void {
    this.#ready.delete(port)
    this.#agents.get(port)?.destroy()
    this.#agents.delete(port)
  }

  get readyPorts (): readonly number[] {
    return [...this.#ready]
  }

  #close (): void {
    clearInterval(this.#timer)
    this.#server.closeAllConnections()
    this.#server.close()
    for (const agent of this.#agents.values()) agent.destroy()
  }

  #look (port: number): void {
    const request = httpRequest({ port, host: '127.0.0.1', path: '/readyz', timeout: 2000 }, (answer) => {
      answer.resume()
      this.#ready[answer.statusCode === 200 ? 'add' : 'delete'](port)
    })
    request.on('error', () => { this.#ready.delete(port) })
    request.end()
  }
}
