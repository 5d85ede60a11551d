import { stringify } from 'csv-stringify/sync'
import type { FastifyReply, FastifyRequest } from 'fastify'

export const csvType = 'text/csv; charset=utf-8'

/** Whether the client prefers CSV: its Accept header names `text/csv` and not JSON. */
export function wantsCsv (request: FastifyRequest): boolean {
  const accept = String(request.headers.accept ?? '').toLowerCase()
  return accept.includes('text/csv') && !accept.includes('json')
}

/**
 * Sends rows as CSV (RFC 4180), a header line first. Texts that a spreadsheet would take for a formula are escaped: names and tools are chosen by
 * others than the one who opens the file. The next page is in the `Link` header (RFC 8288), as there is no room for a cursor in the table.
 */
export function sendCsv (request: FastifyRequest, reply: FastifyReply, { columns, rows, nextCursor }: {
  readonly columns: readonly string[]
  readonly rows: ReadonlyArray<Readonly<Record<string, unknown>>>
  readonly nextCursor?: string | null
}): FastifyReply {
  if (nextCursor != null) {
    const url = new URL(request.url, 'http://service')
    url.searchParams.set('cursor', nextCursor)
    reply.header('link', `<${url.pathname}${url.search}>; rel="next"`)
  }
  return reply.type(csvType).header('vary', 'accept').serializer((body) => String(body)).send(csvText(columns, rows))
}

/** Rows as CSV, a header line first. What is no text and no number is written as JSON. */
export function csvText (columns: readonly string[], rows: ReadonlyArray<Readonly<Record<string, unknown>>>): string {
  const cell = (value: unknown): unknown => typeof value === 'object' && value !== null ? JSON.stringify(value) : value ?? ''
  return stringify(rows.map((row) => columns.map((column) => cell(row[column]))), { header: true, columns: [...columns], escape_formulas: true })
}
