import type { Readable } from 'node:stream'
import { listBytesMax, type Bodies } from './bodies.ts'
import type { Release } from './byte-budget.ts'
import type { AuthenticatedRequest } from './gateway-request.ts'
import { inParts, paced, type MayPass } from './paced.ts'
import { Bytes } from './protocol/bytes.ts'
import { EventStream, EventTooLong } from './protocol/event-stream.ts'
import { JsonRefused } from './protocol/strict-json.ts'
import { ToolListFit, toolListOutline, type ToolListRules } from './protocol/tool-list.ts'

/** A list of tools is too long to be filtered, or takes too long to arrive. */
export class ListTooLong extends Error {
  override readonly name = 'ListTooLong'
}

interface FitOptions {
  readonly request: AuthenticatedRequest
  /** How lists of tools are filtered. `undefined`: the answer can contain none. */
  readonly toolList: ToolListRules | undefined
}

type Fit = (stream: Readable) => AsyncGenerator<Buffer>

const waitsFrom = 64 * 1024
// A long list or event uses the share of its key, so it must not take longer than this to arrive.
const heldMaxMs = 30_000

/** An answer as this key may see it, piece by piece: event ids are sealed, lists of tools filtered, everything else unchanged. */
export function fittedAnswer (contentType: string, { request, toolList }: FitOptions): Fit {
  const { gateway: { bodies }, key } = request
  const mayPass = async (bytes: number) => { await bodies.pass(key.id, bytes) }
  if (contentType.startsWith('text/event-stream')) return eventFit(request, toolList, mayPass)
  return toolList === undefined ? (stream) => paced(stream, mayPass) : wholeFit(request, toolList, mayPass)
}

function eventFit (request: AuthenticatedRequest, toolList: ToolListRules | undefined, mayPass: MayPass): Fit {
  const { gateway: { bodies, eventSeal }, upstream, key } = request
  const events = new EventStream({
    rewriteId: (id) => eventSeal.seal(id, upstream.name, key.id),
    rewriteData: toolList === undefined ? undefined : async (data) => await fit(bodies, { data, keyId: key.id, toolList }),
    eventBytesMax: listBytesMax
  })
  return async function * fitted (stream) {
    const room = new Room(request, () => { stream.destroy(new EventTooLong(`An event took longer than ${heldMaxMs} ms.`)) })
    try {
      for await (const chunk of paced(stream, mayPass)) {
        const passing = await events.push(chunk, async (work, bytes) => { await bodies.work(key.id, work, bytes) })
        if (events.held > waitsFrom) await room.take()
        // It counts as held until the client has read it.
        yield * inParts(passing, mayPass)
        if (events.held <= waitsFrom) room.leave()
      }
    } finally {
      room.leave()
    }
  }
}

function wholeFit (request: AuthenticatedRequest, toolList: ToolListRules, mayPass: MayPass): Fit {
  const { gateway: { bodies }, key } = request
  return async function * fitted (stream) {
    const room = new Room(request, () => { stream.destroy(new ListTooLong(`A list of tools took longer than ${heldMaxMs} ms.`)) })
    const whole = new Bytes()
    try {
      for await (const chunk of paced(stream, mayPass)) {
        if (whole.length + chunk.length > listBytesMax) throw new ListTooLong(`A list of tools is longer than ${listBytesMax} bytes.`)
        whole.append(chunk)
        if (whole.length > waitsFrom) await room.take()
      }
      const data = whole.take()
      yield * inParts(await fit(bodies, { data, keyId: key.id, toolList }) ?? data, mayPass)
    } finally {
      room.leave()
    }
  }
}

/** The share of its key that a long list or event uses while it arrives. Without free room, the rest waits in the network. */
class Room {
  readonly #request: AuthenticatedRequest
  readonly #tooSlow: () => void
  #release: Release | undefined
  #timer: NodeJS.Timeout | undefined

  constructor (request: AuthenticatedRequest, tooSlow: () => void) {
    this.#request = request
    this.#tooSlow = tooSlow
  }

  async take (): Promise<void> {
    if (this.#release !== undefined) return
    const { gateway, key, over } = this.#request
    this.#release = await gateway.bodies.hold(key.id, listBytesMax, over.signal)
    this.#timer = setTimeout(this.#tooSlow, heldMaxMs)
  }

  leave (): void {
    clearTimeout(this.#timer)
    this.#release?.()
    this.#release = undefined
  }
}

interface Fitting {
  readonly data: Buffer
  readonly keyId: string
  readonly toolList: ToolListRules
}

// Data that is not strict JSON is passed on unchanged if it cannot contain a list of tools.
async function fit (bodies: Bodies, { data, keyId, toolList }: Fitting): Promise<Buffer | undefined> {
  try {
    const fitting = new ToolListFit(await bodies.parse(keyId, data, toolListOutline), toolList)
    await bodies.work(keyId, fitting, data.length)
    return fitting.result
  } catch (error) {
    if (error instanceof JsonRefused && !data.includes('tools')) return undefined
    throw error
  }
}
