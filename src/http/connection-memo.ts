import type { IncomingMessage } from 'node:http'
import { TokenMemo } from '../core/window/token-memo.ts'

const memo = Symbol('navis-keys.memo')

interface Connection {
  [memo]?: TokenMemo
}

/** The memo of the connection that a request came over: a socket, or a session of HTTP/2. `undefined`: the connection is gone. */
export function connectionMemo (request: IncomingMessage): TokenMemo | undefined {
  const connection = connectionOf(request)
  return connection && (connection[memo] ??= new TokenMemo())
}

function connectionOf (request: IncomingMessage): Connection | undefined {
  // HTTP/2 gives each request an object of its own for a socket.
  if (request.httpVersionMajor >= 2) return (request as unknown as { readonly stream?: { readonly session?: object } }).stream?.session
  return request.socket as object | undefined
}
