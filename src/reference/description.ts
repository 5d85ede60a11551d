/** The parts of OpenAPI 3.1 that are used here. */
export interface Description {
  info?: { title: string, description?: string }
  paths?: Record<string, Record<string, Operation>>
  /** The requests that the service sends, by type of event. */
  webhooks?: Record<string, Record<string, Operation>>
  tags?: ReadonlyArray<{ readonly name: string, readonly description: string }>
  components?: { schemas?: Record<string, Schema>, headers?: unknown, examples?: Record<string, { readonly value: unknown }> }
}

export interface Operation {
  operationId?: string
  summary?: string
  description?: string
  tags?: string[]
  security?: object[]
  parameters?: Parameter[]
  requestBody?: { description?: string, required?: boolean, content: Record<string, Media> }
  responses?: Record<string, Answer>
}

export interface Parameter {
  readonly name: string
  readonly in: string
  readonly required?: boolean
  readonly description?: string
  readonly schema?: Schema
}

export interface Media {
  schema?: Schema
  example?: unknown
  examples?: Record<string, { readonly $ref: string }>
}

export interface Schema {
  readonly $ref?: string
  readonly description?: string
  readonly type?: string | readonly string[]
  readonly format?: string
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly anyOf?: readonly Schema[]
  readonly items?: Schema
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly [keyword: string]: unknown
}

export interface Answer {
  description: string
  headers?: Record<string, object>
  content?: Record<string, Media>
}

/** The headers of every answer to a key with a rate limit. */
export const rateHeaders = ['RateLimit', 'RateLimit-Policy'] as const

export function headersNamed (names: readonly string[]): Record<string, object> {
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]))
}
