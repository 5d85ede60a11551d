import { wrongCall } from './wrong-call.ts'

/** A CSV record and the number of its first line. */
interface CsvRecord {
  readonly line: number
  readonly fields: readonly string[]
}

/** Reads CSV (RFC 4180): commas, doubled quotes within quotes, line breaks in quotes, any line ending. Empty lines are skipped. */
export function csvRecords (text: string): CsvRecord[] {
  const records: CsvRecord[] = []
  let fields: string[] = []
  let line = 1
  let beginsAt = 1
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/y
  field.lastIndex = text.startsWith('\uFEFF') ? 1 : 0
  while (field.lastIndex < text.length || fields.length > 0) {
    const found = field.exec(text)
    if (found === null) throw wrongCall(`Line ${line} is not valid CSV: a quote is in the wrong place or not closed.`)
    const [whole, quoted, plain = '', end = ''] = found
    fields.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'))
    line += whole.split('\n').length - 1
    if (end === ',') continue
    if (fields.length > 1 || fields[0] !== '') records.push({ line: beginsAt, fields })
    fields = []
    beginsAt = line
  }
  return records
}
