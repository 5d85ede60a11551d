/** Where the window tells of what happened to it; the shape of pino. */
export interface WindowLog {
  info (fields: object, message: string): void
  warn (fields: object, message: string): void
}

export const silentLog: WindowLog = { info () {}, warn () {} }

/** What may be logged of a store's failure: its code. Messages can hold parameters and addresses. */
export function failureOf (error: unknown): { failure: string } {
  if (typeof error !== 'object' || error === null) return { failure: 'unknown' }
  const { code, name, cause } = error as { code?: unknown, name?: unknown, cause?: { code?: unknown } }
  return { failure: String(code ?? cause?.code ?? name ?? 'unknown') }
}
