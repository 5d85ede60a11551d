/** A table of aligned columns with headings. */
export function table (headings: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const all = [headings, ...rows.map((row) => row.map(printable))]
  const widths = headings.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  return all.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd() + '\n').join('')
}

// Remove control characters: a terminal would execute escape sequences in a name.
function printable (cell: string): string {
  return cell.replace(/[\p{Cc}\p{Cf}]/gu, '?')
}
