import { Transform, type TransformCallback } from 'node:stream'
import type { Bodies } from './bodies.ts'
import type { AuthenticatedRequest } from './gateway-request.ts'
import type { Release } from './byte-budget.ts'
import { EventStream } from './protocol/event-stream.ts'
import { JsonRefused } from './protocol/strict-json.ts'
import { fitToolList, toolListOutline, type ToolListRules } from './protocol/tool-list.ts'

/** A list of tools that is longer than may be held. */
export class ListTooLong extends Error {
  override readonly name = 'ListTooLong'
}

interface FitOptions {
  readonly request: AuthenticatedRequest
  /** How lists of tools are fitted; `undefined`: there are none in the answer. */
  readonly toolList: ToolListRules | undefined
}

// As much as four messages of the default size: the whole share of a key, so that its lists are fitted one after the other.
const listBytesMax = 4 * 1024 * 1024
const waitsFrom = 64 * 1024

/** Fits an answer to the key that reads it: the ids of events are sealed, lists of tools filtered. `undefined`: it passes as it is. */
export function fittedAnswer (contentType: string, { request, toolList }: FitOptions): Transform | undefined {
  if (contentType.startsWith('text/event-stream')) return eventFit(request, toolList)
  return toolList === undefined ? undefined : wholeFit(request, toolList)
}

function eventFit (request: AuthenticatedRequest, toolList: ToolListRules | undefined): Transform {
  const { gateway, upstream, key } = request
  const events = new EventStream({
    rewriteId: (id) => gateway.eventSeal.seal(id, upstream.name, key.id),
    rewriteData: toolList === undefined ? undefined : async (data) => await fit(gateway.bodies, { data, keyId: key.id, toolList }),
    eventBytesMax: listBytesMax
  })
  return new Transform({
    transform (chunk: Buffer, _encoding, done) {
      settle(events.push(chunk), done)
    }
  })
}

function wholeFit ({ gateway: { bodies }, key, over }: AuthenticatedRequest, toolList: ToolListRules): Transform {
  const pieces: Buffer[] = []
  let length = 0
  let release: Release | undefined
  // The rest of a long list stays in the network until there is room for it.
  const keep = async (chunk: Buffer): Promise<undefined> => {
    pieces.push(chunk)
    length += chunk.length
    if (length > listBytesMax) throw new ListTooLong(`A list of tools is longer than ${listBytesMax} bytes.`)
    if (length > waitsFrom) release ??= await bodies.hold(key.id, listBytesMax, over.signal)
  }
  return new Transform({
    transform (chunk: Buffer, _encoding, done) {
      settle(keep(chunk), done)
    },
    flush (done) {
      const data = Buffer.concat(pieces.splice(0), length)
      settle(fit(bodies, { data, keyId: key.id, toolList }).then((fitted) => fitted ?? data), done)
    },
    destroy (error, done) {
      release?.()
      done(error)
    }
  })
}

interface Fitting {
  readonly data: Buffer
  readonly keyId: string
  readonly toolList: ToolListRules
}

// What is no JSON, or JSON that readers differ on, is not ours to refuse where it holds no list.
async function fit (bodies: Bodies, { data, keyId, toolList }: Fitting): Promise<Buffer | undefined> {
  try {
    return fitToolList(await bodies.parse(keyId, data, toolListOutline), toolList)
  } catch (error) {
    if (error instanceof JsonRefused && !data.includes('tools')) return undefined
    throw error
  }
}

function settle (making: Promise<Buffer | undefined>, done: TransformCallback): void {
  making.then((made) => { done(null, made === undefined || made.length === 0 ? undefined : made) }, done)
}
