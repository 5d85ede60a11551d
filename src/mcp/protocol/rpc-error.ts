/** JSON-RPC 2.0, and MCP 2026-07-28 "Error Codes": our own codes lie outside the range that JSON-RPC reserves. */
export const rpcCodes = {
  parse: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  headerMismatch: -32020,
  unsupportedVersion: -32022
} as const

export type RpcId = string | number

interface McpRefusalOptions {
  readonly status: number
  readonly code: number
  /** Tells the agent the reason and what to do. Never contains anything that was sent. */
  readonly message: string
  readonly id?: RpcId | undefined
  readonly detail?: Readonly<Record<string, unknown>>
  readonly headers?: Readonly<Record<string, string>>
}

/** A call that is not passed on: an HTTP status and a JSON-RPC error. */
export class McpRefusal extends Error {
  override readonly name = 'McpRefusal'
  readonly status: number
  readonly code: number
  readonly id: RpcId | undefined
  readonly detail: Readonly<Record<string, unknown>> | undefined
  readonly headers: Readonly<Record<string, string>>

  constructor (options: McpRefusalOptions) {
    super(options.message)
    this.status = options.status
    this.code = options.code
    this.id = options.id
    this.detail = options.detail
    this.headers = options.headers ?? {}
  }
}

/** The body of a refusal. It has no `id` if none is known: the transport's "error response that has no id". */
export function rpcErrorBody ({ code, message, id, detail }: Pick<McpRefusal, 'code' | 'message' | 'id' | 'detail'>): object {
  return {
    jsonrpc: '2.0',
    ...(id === undefined ? {} : { id }),
    error: { code, message, ...(detail === undefined ? {} : { data: detail }) }
  }
}

export function invalidRequest (message: string, id?: RpcId): McpRefusal {
  return new McpRefusal({ status: 400, code: rpcCodes.invalidRequest, message, id })
}

export function headerMismatch (message: string, id?: RpcId): McpRefusal {
  return new McpRefusal({ status: 400, code: rpcCodes.headerMismatch, message, id })
}
