import { executionAsyncResource } from 'node:async_hooks'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'

const kept: object[] = []

/**
 * Keeps one object of each kind alive that Node makes for each request, for as long as this process runs. V8 forgets the shapes of objects of which there are none when it
 * collects garbage, and may then make worse ones, for good: decision 0346. Returns the list in which they all are after the next tick.
 */
export function keepShapes (): readonly object[] {
  if (kept.length === 0) {
    kept.push(...exchange())
    process.nextTick(() => { kept.push(executionAsyncResource()) })
  }
  return kept
}

/** A request and its response, as Node's server makes them, without a connection. */
function exchange (): [IncomingMessage, ServerResponse] {
  const socket = new Socket()
  const request = new IncomingMessage(socket)
  Object.assign(request, { httpVersionMajor: 1, httpVersionMinor: 1, method: 'GET' })
  const response = new ServerResponse(request)
  response.assignSocket(socket)
  response.detachSocket(socket)
  return [request, response]
}
