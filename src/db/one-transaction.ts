import type { Row, Sql } from 'postgres'

/**
 * Statements in one message, which the server carries out as one transaction, each seeing what was committed before it began
 * (read committed); resolves to all the rows that they return. Not the driver's `begin`: that one ends the whole process
 * when the server closes the connection between two statements. No parameters: values are written as literals (`proof.ts`).
 */
export async function inOneTransaction (sql: Sql, statements: readonly string[]): Promise<Row[]> {
  // One result or an array of them, as it happens: the driver makes a new one only for a statement that returns rows.
  const results: readonly Row[] | ReadonlyArray<readonly Row[]> = await sql.unsafe(statements.join(';\n')).simple()
  return [results].flat(2) as Row[]
}

/** A value as a literal. Only for names and digests that this service makes. */
export function text (value: string): string {
  if (!/^[\w.:-]*$/.test(value)) throw new TypeError('This text has characters that are not written into a statement.')
  return `'${value}'`
}
