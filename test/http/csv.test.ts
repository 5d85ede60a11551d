import type { FastifyRequest } from 'fastify'
import t from 'tap'
import { wantsCsv } from '../../src/http/csv.ts'

const rows = [
  { accept: undefined, csv: false },
  { accept: '', csv: false },
  { accept: '*/*', csv: false },
  { accept: 'text/*', csv: false },
  { accept: 'application/json', csv: false },
  { accept: 'text/csvx', csv: false },
  { accept: 'text/csv', csv: true },
  { accept: 'Text/CSV; charset=utf-8; header=present', csv: true },
  { accept: 'text/csv;q=0', csv: false },
  { accept: 'text/csv; Q=0.000, */*', csv: false },
  { accept: 'text/csv;q=0.001', csv: true },
  { accept: 'text/csv;q=many', csv: false },
  { accept: 'text/csv;q=2', csv: false },
  { accept: 'text/csv, */*', csv: true },
  { accept: 'text/csv, */*;q=0.1', csv: true },
  { accept: 'text/csv;q=0.5, */*', csv: false },
  { accept: 'text/csv;q=0.5, application/*;q=0.6', csv: false },
  { accept: 'text/csv, application/json', csv: false },
  { accept: 'application/json;q=0.9, text/csv', csv: true },
  { accept: 'application/json, text/csv;q=0.9', csv: false },
  { accept: 'application/json;q=0, */*, text/csv;q=0.1', csv: true },
  { accept: 'text/csv, application/problem+json', csv: true }
]

t.test('an Accept header asks for CSV, or does not', async (t) => {
  for (const { accept, csv } of rows) t.equal(wantsCsv({ headers: { accept } } as unknown as FastifyRequest), csv, String(accept))
})
