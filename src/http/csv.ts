import { stringify } from 'csv-stringify/sync'
import type { FastifyReply, FastifyRequest } from 'fastify'

export const csvType = 'text/csv; charset=utf-8'

/**
 * Whether the client prefers CSV (RFC 9110, section 12.5.1): its Accept header names `text/csv`, and gives JSON no higher quality, nor the same by name. JSON is the
 * default, so every other client gets JSON.
 */
export function wantsCsv (request: FastifyRequest): boolean {
  const qualities = qualitiesOf(request.headers.accept ?? '')
  const csv = qualities.get('text/csv') ?? 0
  const named = qualities.get('application/json')
  const json = named ?? qualities.get('application/*') ?? qualities.get('*/*') ?? 0
  return csv > 0 && (csv > json || (csv === json && named === undefined))
}

/** The quality that an Accept header gives to each media range, 1 by default. A quality that is no number from 0 to 1 counts as 0. */
function qualitiesOf (accept: string): ReadonlyMap<string, number> {
  return new Map(accept.toLowerCase().split(',').map((part) => {
    const [range = '', ...parameters] = part.split(';').map((text) => text.trim())
    const quality = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? '1'
    return [range, /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(quality) ? Number(quality) : 0]
  }))
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
