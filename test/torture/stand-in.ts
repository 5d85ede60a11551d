import { createHash, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

interface StandInKey {
  readonly id: string
  readonly workspaceId: string
  readonly ownerId: string | undefined
  refusedFrom: number
}

/** What all stand-ins of one test hold in common, as replicas hold a database. */
export class StandInStore {
  /** By the SHA-256 of each token. */
  readonly keys = new Map<string, StandInKey>()
}

/** How a stand-in is broken. Whole, it reads the store for every verification. */
export interface StandInFault {
  /** Remembers an accept for so long, without asking again: the cache that every rival has. */
  readonly remembersMs?: number
  /** Refuses one live key in so many. */
  readonly refusesOneIn?: number
  /** Is unavailable one time in so many. */
  readonly unavailableOneIn?: number
  /** Answers a revocation so long before it is in the store. */
  readonly returnsEarlyMs?: number
}

/** A service of few routes behind the real interface, to prove that the harness finds what is broken. */
export class StandIn {
  readonly #store: StandInStore
  readonly #fault: StandInFault
  readonly #accepted = new Map<string, number>()
  readonly #server: Server
  #asked = 0

  constructor (store: StandInStore, fault: StandInFault = {}) {
    this.#store = store
    this.#fault = fault
    this.#server = createServer((request, response) => { this.#answer(request, response).catch(() => { response.writeHead(500).end() }) })
  }

  async listen (): Promise<number> {
    await new Promise<void>((resolve) => { this.#server.listen(0, '127.0.0.1', resolve) })
    return (this.#server.address() as AddressInfo).port
  }

  close (): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  async #answer (request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? ''
    const [, workspaceId = '', id = '', act] = /^\/v1\/workspaces\/([^/]+)\/(?:keys|policy)\/?([^/]*)(\/rotate)?$/.exec(path) ?? []
    const body = JSON.parse(await text(request) || '{}') as { expires_at?: string, owner_id?: string, keys?: ReadonlyArray<{ token_sha256: string }> }
    if (path === '/forward-auth') response.writeHead(this.#verify((request.headers.authorization ?? '').slice(7))).end()
    else if (id === 'revoke-all') await this.#take(this.#keysOf(workspaceId, body.owner_id), Date.now(), response)
    else if (path.endsWith('/policy')) await this.#take(this.#keysOf(workspaceId, undefined), Date.now(), response, 200)
    else if (body.keys !== undefined) this.#import(workspaceId, body.keys, response)
    else if (act !== undefined) await this.#rotate(id, response)
    else if (request.method === 'DELETE') await this.#take(this.#keysWith(id), Date.now(), response)
    else if (request.method === 'PATCH') await this.#patch(id, body, response)
    else response.writeHead(201).end(JSON.stringify(this.#make({ workspaceId, ownerId: body.owner_id })))
  }

  #verify (token: string): number {
    this.#asked++
    const { remembersMs = 0, refusesOneIn = 0, unavailableOneIn = 0 } = this.#fault
    if (unavailableOneIn > 0 && this.#asked % unavailableOneIn === 0) return 503
    if (refusesOneIn > 0 && this.#asked % refusesOneIn === 0) return 401
    if (performance.now() - (this.#accepted.get(token) ?? -Infinity) < remembersMs) return 200
    const key = this.#store.keys.get(sha256(token))
    if (key === undefined || Date.now() >= key.refusedFrom) return 401
    this.#accepted.set(token, performance.now())
    return 200
  }

  async #patch (id: string, { expires_at: expiresAt }: { expires_at?: string }, response: ServerResponse): Promise<void> {
    if (expiresAt === undefined) response.writeHead(200).end()
    else await this.#take(this.#keysWith(id), Date.parse(expiresAt), response, 200)
  }

  /** The old token ends as a revoked one does, and the answer has a new one of the same id. */
  async #rotate (id: string, response: ServerResponse): Promise<void> {
    const [key] = this.#keysWith(id)
    if (key === undefined) return
    const before = this.#keysWith(id)
    await this.#take(before, Date.now(), response, 201, JSON.stringify(this.#make(key)))
  }

  async #take (keys: readonly StandInKey[], from: number, response: ServerResponse, status = 204, body?: string): Promise<void> {
    const { returnsEarlyMs = 0 } = this.#fault
    if (returnsEarlyMs > 0) {
      response.writeHead(status).end(body)
      await sleep(returnsEarlyMs)
    }
    for (const key of keys) key.refusedFrom = Math.min(key.refusedFrom, from)
    if (!response.writableEnded) response.writeHead(status).end(body)
  }

  #make ({ id = randomUUID(), workspaceId, ownerId }: Pick<StandInKey, 'workspaceId' | 'ownerId'> & { readonly id?: string }): { readonly id: string, readonly token: string } {
    const token = randomUUID()
    this.#store.keys.set(sha256(token), { id, workspaceId, ownerId, refusedFrom: Infinity })
    return { id, token }
  }

  #import (workspaceId: string, keys: ReadonlyArray<{ readonly token_sha256: string }>, response: ServerResponse): void {
    for (const { token_sha256: digest } of keys) this.#store.keys.set(digest, { id: randomUUID(), workspaceId, ownerId: undefined, refusedFrom: Infinity })
    response.writeHead(201).end(JSON.stringify({ imported: keys.length, already_there: 0 }))
  }

  #keysOf (workspaceId: string, ownerId: string | undefined): StandInKey[] {
    return [...this.#store.keys.values()].filter((key) => key.workspaceId === workspaceId && (ownerId === undefined || key.ownerId === ownerId))
  }

  #keysWith (id: string): StandInKey[] {
    return [...this.#store.keys.values()].filter((key) => key.id === id)
  }
}

function sha256 (token: string): string {
  return createHash('sha256').update(token).digest('hex')
}

async function text (request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return text
}
